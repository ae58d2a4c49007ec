#include "vm/vmm/control.hpp"

#include <array>
#include <chrono>
#include <optional>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/json_table.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "vm/agent/failure.hpp"

namespace vrun::vmm {
namespace {

using vm::FrameType;

// A client that says nothing keeps the next one waiting for so long and no longer.
constexpr std::chrono::milliseconds kPatience{2000};

struct Name {
  std::string call;
};
constexpr auto json_fields(const Name*) {
  return json::fields(json::field("call", &Name::call, {.required = true}));
}

// The first frame of this type; none: the client breaks the rules, is gone or is silent.
// A descriptor that comes with it is `file` afterwards.
std::optional<vm::Frame> next(const Fd& client, vm::FrameReader& reader, FrameType type, Fd& file) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    Result<std::optional<vm::Frame>> frame = reader.next();
    if (!frame) return std::nullopt;
    if (*frame) return (**frame).type == type ? *std::move(frame) : std::nullopt;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    std::array<pollfd, 1> ready{pollfd{client.get(), POLLIN, 0}};
    if (left.count() <= 0) return std::nullopt;
    if (const Result<int> count = sys::poll(ready, static_cast<int>(left.count())); !count)
      return std::nullopt;
    if (ready[0].revents == 0) continue;
    std::array<char, 4096> buffer;
    Result<sys::Received> got = sys::receive(client.get(), buffer);
    if (!got || got->bytes == 0) return std::nullopt;
    if (got->fd) file = std::move(got->fd);
    reader.feed({buffer.data(), got->bytes});
  }
}

void send(const Fd& client, const std::string& bytes) {
  // An answer is small, and a client that does not take it has had its chance.
  ::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

Result<std::unique_ptr<Control>> Control::create(Fd listener, std::map<std::string, Call> calls,
                                                 std::map<std::string, FileCall> file_calls) {
  std::unique_ptr<Worker> worker = TRY(Worker::create("control"));
  std::unique_ptr<Control> control(
      new Control(std::move(worker), std::move(listener), std::move(calls), std::move(file_calls)));
  control->worker_->run([raw = control.get()] {
    raw->worker_->watch(raw->listener_.get(), EPOLLIN, [raw](std::uint32_t) { raw->serve(); });
  });
  return control;
}

Control::Control(std::unique_ptr<Worker> worker, Fd listener, std::map<std::string, Call> calls,
                 std::map<std::string, FileCall> file_calls)
    : listener_(std::move(listener)),
      calls_(std::move(calls)),
      file_calls_(std::move(file_calls)),
      worker_(std::move(worker)) {}

Control::~Control() = default;

void Control::serve() {
  const Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client) return;
  send(client, vm::encode_numbers(FrameType::kHello, {vm::kAgentVersion}));
  vm::FrameReader reader;
  Fd file;
  const std::optional<vm::Frame> hello = next(client, reader, FrameType::kHello, file);
  if (!hello || vm::number_of(*hello, 0, 1) != vm::kAgentVersion) return;
  const std::optional<vm::Frame> call = next(client, reader, FrameType::kCall, file);
  if (!call) return;
  const Result<std::string> said = answer(*call, std::move(file));
  send(client, said ? vm::encode(FrameType::kAnswer, *said)
                    : vm::encode(FrameType::kError, to_json(vm::failure_of(said.error(), 125))));
}

Result<std::string> Control::answer(const vm::Frame& frame, Fd file) const {
  const Name name = TRY(json::read<Name>(frame.content, "kCall"));
  const auto found = calls_.find(name.call);
  if (found != calls_.end()) return found->second(frame.content);
  const auto with_file = file_calls_.find(name.call);
  if (with_file != file_calls_.end() && file)
    return with_file->second(frame.content, std::move(file));
  return Error(Code::kInvalid, "kCall: there is no call " + quote(name.call));
}

}  // namespace vrun::vmm
