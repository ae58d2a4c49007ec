// vrun-criu: does one checkpoint or restore through CRIU's RPC, for vrun (order.hpp).
#include <cstdio>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "runtime/criu/order.hpp"
#include "runtime/criu/request.hpp"
#include "runtime/criu/session.hpp"
#include "runtime/criu/tree.hpp"

namespace vrun::criu {
namespace {

// External pid namespaces and the v2 freezer work from here on.
constexpr int kOldestMajor = 3;
constexpr int kOldestMinor = 15;
constexpr std::size_t kMaxCgroupBytes = 1U << 20U;
constexpr std::size_t kMaxMessageBytes = 8U << 10U;

// The end of the work as vrun is told of it.
struct Outcome {
  int pid = 0;
};

Error criu_error(const rpc::Response& response, const std::string& what) {
  std::string words = response.error_message();
  if (words.empty() && response.error_number() != 0) words = errno_text(response.error_number());
  return Error(Code::kSystem, words.empty() ? what : what + ": " + printable(trim(words)));
}

Error with_complaint(Error error, const Session& session) {
  const std::string complaint = session.complaint();
  if (trim(complaint).empty()) return error;
  return std::move(error).hint("criu says: " + printable(trim(complaint)));
}

Result<rpc::Response> ask_alone(const Order& order, const rpc::Request& request) {
  Session session = TRY(Session::start(order.criu, {}));
  Result<rpc::Response> response =
      session.ask(request, [](const rpc::Notification&, const Fd&) { return Result<void>(); });
  if (!response) return with_complaint(std::move(response).error(), session);
  if (!response->success()) return with_complaint(criu_error(*response, "criu refuses"), session);
  return response;
}

Result<void> check_version(const Order& order) {
  rpc::Request request;
  request.set_kind(rpc::VERSION);
  const rpc::Response response = TRY(ask_alone(order, request));
  const rpc::Version& version = response.version();
  const bool old =
      version.major_number() < kOldestMajor ||
      (version.major_number() == kOldestMajor && version.minor_number() < kOldestMinor);
  if (!old) return {};
  return Error(Code::kUnsupported, "criu " + std::to_string(version.major_number()) + "." +
                                       std::to_string(version.minor_number()) +
                                       " is too old: 3.15 or newer is needed");
}

Result<void> check_features(const Order& order) {
  const bool tracks = order.action == Action::kPreDump || !order.parent_images.empty();
  if (!tracks && !order.lazy_pages) return {};
  rpc::Request request;
  request.set_kind(rpc::FEATURE_CHECK);
  request.mutable_features()->set_mem_track(tracks);
  request.mutable_features()->set_lazy_pages(order.lazy_pages);
  const rpc::Response response = TRY(ask_alone(order, request));
  if (tracks && !response.features().mem_track())
    return Error(Code::kUnsupported, "this kernel cannot track memory changes (pre-dump)");
  if (order.lazy_pages && !response.features().lazy_pages())
    return Error(Code::kUnsupported, "this kernel and criu cannot move pages lazily");
  return {};
}

Result<void> tell(int socket, const Event& event, const Fd& fd) {
  return sys::send(socket, to_json(event), fd.get());
}

Result<void> await_go(int socket) {
  char answer = kRefused;
  const sys::Received received = TRY(sys::receive(socket, std::span(&answer, 1)));
  if (received.bytes == 1 && answer == kGoOn) return {};
  return Error(Code::kState, received.bytes == 0 ? "vrun is gone" : "vrun refuses");
}

// Each notification is vrun's to decide on.
Result<void> pass_on(int socket, const rpc::Notification& notification, const Fd& fd) {
  TRY(tell(socket,
           {.kind = EventKind::kNotify,
            .script = notification.script(),
            .pid = notification.pid(),
            .message = {}},
           fd));
  return await_go(socket);
}

std::vector<int> inherited_by_criu(const Order& order) {
  std::vector<int> fds;
  for (const InheritedFd& inherited : order.inherited)
    fds.push_back(inherited.fd);
  return fds;
}

Result<rpc::Request> make_request(Order& order) {
  if (order.action != Action::kRestore) {
    TRY(prepare_cgroups(order));
    return to_request(order, "", "");
  }
  const std::string cgroups = TRY(fs::read_file(At::cwd(), "/proc/self/cgroup", kMaxCgroupBytes));
  std::vector<int> folders{order.images_fd};
  if (order.work_fd >= 0) folders.push_back(order.work_fd);
  TRY(leave_mounts_of_host(folders));
  TRY(prepare_cgroups(order));
  Tree tree = TRY(prepare_tree(order.root, order.mounts));
  order.external_mounts.insert(order.external_mounts.end(), tree.external.begin(),
                               tree.external.end());
  return to_request(order, tree.root, cgroups);
}

struct Failure {
  Error error;
  bool by_criu = false;
};

std::variant<Outcome, Failure> carry_out(Order& order, int socket) {
  if (Result<void> good = check_version(order); !good)
    return Failure{std::move(good).error(), false};
  if (Result<void> good = check_features(order); !good)
    return Failure{std::move(good).error(), false};
  Result<rpc::Request> request = make_request(order);
  if (!request) return Failure{std::move(request).error(), false};
  Result<Session> session = Session::start(order.criu, inherited_by_criu(order));
  if (!session) return Failure{std::move(session).error(), false};
  Result<rpc::Response> response =
      session->ask(*request, [socket](const rpc::Notification& notification, const Fd& fd) {
        return pass_on(socket, notification, fd);
      });
  if (!response) return Failure{with_complaint(std::move(response).error(), *session), true};
  if (!response->success()) {
    return Failure{with_complaint(criu_error(*response, "criu failed"), *session), true};
  }
  return Outcome{response->restore().pid()};
}

Event to_event(const std::variant<Outcome, Failure>& end) {
  if (const Outcome* outcome = std::get_if<Outcome>(&end)) {
    return {.kind = EventKind::kDone, .script = {}, .pid = outcome->pid, .message = {}};
  }
  const Failure& failure = std::get<Failure>(end);
  std::string message = failure.error.text();
  if (!failure.error.hint().empty()) message += "; " + failure.error.hint();
  if (message.size() > kMaxMessageBytes) message.resize(kMaxMessageBytes);
  return {.kind = EventKind::kFailed,
          .script = {},
          .message = std::move(message),
          .criu_failed = failure.by_criu};
}

Result<Order> read_order(int fd) {
  const std::string text =
      TRY(fs::read_file(At::cwd(), "/proc/self/fd/" + std::to_string(fd), kMaxOrderBytes));
  return parse_order(text);
}

int serve(int socket, int order_fd) {
  // vrun first has to bring us into the container's cgroup, where that is not done by the clone.
  if (Result<void> started = await_go(socket); !started) return 1;
  Result<Order> order = read_order(order_fd);
  const std::variant<Outcome, Failure> end =
      order ? carry_out(*order, socket) : Failure{std::move(order).error(), false};
  const Event event = to_event(end);
  if (!tell(socket, event, Fd())) return 1;
  return event.kind == EventKind::kDone ? 0 : 1;
}

}  // namespace
}  // namespace vrun::criu

int main(int argc, char** argv) {
  const auto socket = argc == 3 ? vrun::parse_u64(argv[1]) : std::nullopt;
  const auto order = argc == 3 ? vrun::parse_u64(argv[2]) : std::nullopt;
  if (!socket || !order) {
    std::fputs("vrun-criu is a part of vrun and not meant to be run by hand\n", stderr);
    return 2;
  }
  // vrun blocks signals before it starts us, and we must not hand that on to CRIU.
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // What we inherited is for us; what CRIU shall have is passed to it by number.
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  return vrun::criu::serve(static_cast<int>(*socket), static_cast<int>(*order));
}
