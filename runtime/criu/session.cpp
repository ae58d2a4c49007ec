#include "runtime/criu/session.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "base/text.hpp"

namespace vrun::criu {
namespace {

constexpr std::size_t kMaxAnswerBytes = 256U << 10U;
constexpr off_t kComplaintBytes = 4096;

class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  // dup2 onto itself takes close-on-exec away (glibc 2.29).
  void pass(int fd, int as) { ::posix_spawn_file_actions_adddup2(&actions_, fd, as); }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

}  // namespace

Result<Session> Session::start(const std::string& program, const std::vector<int>& inherited) {
  sys::SocketPair pair = TRY(sys::packet_pair());
  Fd complaints = TRY(sys::memfd("criu-stderr"));
  FileActions actions;
  actions.pass(complaints.get(), STDERR_FILENO);
  actions.pass(pair.theirs.get(), pair.theirs.get());
  for (const int fd : inherited)
    actions.pass(fd, fd);
  std::string name = "criu";
  std::string mode = "swrk";
  std::string socket = std::to_string(pair.theirs.get());
  const std::array<char*, 4> argv{name.data(), mode.data(), socket.data(), nullptr};
  pid_t pid = -1;
  const int error =
      ::posix_spawn(&pid, program.c_str(), actions.get(), nullptr, argv.data(), environ);
  if (error != 0) return Error::system(error, "run " + quote(program));
  return Session(std::move(pair.mine), TRY(sys::pidfd_open(Pid(pid))), std::move(complaints));
}

Session::~Session() {
  if (!process_) return;
  socket_.reset();
  // After a pre-dump CRIU waits for the next request: the closed socket ends it, with an error that
  // nobody needs.
  static_cast<void>(sys::wait(process_.get()));
}

Result<void> Session::send(const rpc::Request& request) {
  const std::string bytes = request.SerializeAsString();
  Result<void> sent = sys::send(socket_.get(), bytes);
  if (!sent) return std::move(sent).error().during("talk to criu");
  return {};
}

Result<rpc::Response> Session::ask(const rpc::Request& request, const OnNotify& on_notify) {
  TRY(send(request));
  std::string buffer(kMaxAnswerBytes, '\0');
  std::optional<Error> refused;
  while (true) {
    const sys::Received received = TRY(sys::receive(socket_.get(), buffer));
    if (received.bytes == 0 && refused) return *std::move(refused);
    if (received.bytes == 0) return Error(Code::kSystem, "criu ended without an answer");
    rpc::Response response;
    if (!response.ParseFromArray(buffer.data(), static_cast<int>(received.bytes)))
      return Error(Code::kInternal, "criu sent something that is no answer");
    if (response.kind() != rpc::NOTIFY) {
      if (refused && !response.success()) return *std::move(refused);
      return response;
    }
    Result<void> done = on_notify(response.notification(), received.fd);
    if (!done && !refused) refused = std::move(done).error();
    rpc::Request go_on;
    go_on.set_kind(rpc::NOTIFY);
    go_on.set_notify_success(!refused);
    TRY(send(go_on));
  }
}

std::string Session::complaint() const {
  const off_t size = ::lseek(complaints_.get(), 0, SEEK_END);
  std::string text(static_cast<std::size_t>(std::clamp<off_t>(size, 0, kComplaintBytes)), '\0');
  const ssize_t n = ::pread(complaints_.get(), text.data(), text.size(),
                            std::max<off_t>(0, size - kComplaintBytes));
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

}  // namespace vrun::criu
