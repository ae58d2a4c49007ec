#include "runtime/serve.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>

#include "base/fs.hpp"
#include "base/text.hpp"
#include "runtime/fault.hpp"

namespace vrun::runtime {
namespace {

using steps::Message;
using steps::MessageKind;

struct Incoming {
  Message message{};
  bool ended = false;  // the stage closed the wire: it executed the process, or it died
  Fd fd;
};

Result<Incoming> receive(const Serving& serving) {
  Incoming incoming;
  std::span<char> buffer(reinterpret_cast<char*>(&incoming.message), sizeof incoming.message);
  sys::Received received = TRY(sys::receive(serving.wire.get(), buffer));
  incoming.fd = std::move(received.fd);
  incoming.ended = received.bytes == 0;
  if (incoming.ended || received.bytes >= offsetof(Message, text)) return incoming;
  return Error(Code::kInternal, "the container stage sent half a message");
}

Error ended(const Serving& serving) {
  Result<sys::Exit> exit = sys::wait(serving.child.pidfd.get());
  if (!exit) return std::move(exit).error();
  return died(*exit, *serving.builder);
}

Result<void> answer(const Serving& serving, int error) {
  Message message{};
  message.kind = MessageKind::kAnswer;
  message.error = error;
  Result<void> sent =
      sys::send(serving.wire.get(),
                std::span(reinterpret_cast<const char*>(&message), offsetof(Message, text)));
  if (sent || sent.error().sys_errno() != EPIPE) return sent;
  return ended(serving);  // somebody killed it: that is what went wrong
}

// The pid behind a pidfd, in our pid namespace (proc(5), fdinfo).
Result<Pid> pid_of(const Fd& pidfd) {
  const std::string info =
      TRY(fs::read_file(At::cwd(), "/proc/self/fdinfo/" + std::to_string(pidfd.get()), 4096));
  for (const std::string_view line : split(info, '\n')) {
    if (!line.starts_with("Pid:")) continue;
    const auto pid = parse_i64(trim(line.substr(4)));
    if (pid && *pid > 0) return Pid(static_cast<pid_t>(*pid));
  }
  return Error(Code::kInternal, "the container process ended while it was made");
}

Result<void> go_on_with(Serving& serving, Fd pidfd) {
  const Pid pid = TRY(pid_of(pidfd));
  // The first process has nothing left to do and ends by itself.
  static_cast<void>(TRY(sys::wait(serving.child.pidfd.get())));
  serving.child = sys::Child{pid, std::move(pidfd)};
  return {};
}

Result<void> do_our_part(Serving& serving, std::uint32_t step) {
  if (step >= serving.builder->steps().size() ||
      serving.builder->steps()[step].op != steps::Op::kAsk) {
    return Error(Code::kInternal, "the container stage asked out of order");
  }
  const auto* args = static_cast<const steps::AskArgs*>(serving.builder->steps()[step].args);
  TRY(serving.on_ask(static_cast<Ask>(args->what)));
  return answer(serving, 0);
}

// Everything but kReady and the end.
Result<void> handle(Serving& serving, Incoming& incoming) {
  switch (incoming.message.kind) {
    case MessageKind::kAsk:
      return do_our_part(serving, incoming.message.step);
    case MessageKind::kPidfd:
      return go_on_with(serving, std::move(incoming.fd));
    case MessageKind::kConsole:
      serving.console = std::move(incoming.fd);
      return {};
    case MessageKind::kFault:
      return to_error(incoming.message, *serving.builder, *serving.argv);
    case MessageKind::kExec:
      return {};
    case MessageKind::kListener:
      if (serving.listener == nullptr) break;
      return deliver_listener(*serving.listener, serving.child.pidfd.get(), incoming.fd);
    default:
      break;
  }
  return Error(Code::kInternal, "the container stage sent a message that nobody expects");
}

}  // namespace

Result<void> serve_until_ready(Serving& serving) {
  while (true) {
    Incoming incoming = TRY(receive(serving));
    if (incoming.ended) return ended(serving);
    if (incoming.message.kind == MessageKind::kReady) return {};
    TRY(handle(serving, incoming));
  }
}

Result<void> let_go(Serving& serving) {
  return answer(serving, 0);
}

Result<void> serve_until_exec(Serving& serving) {
  bool execing = false;
  while (true) {
    Incoming incoming = TRY(receive(serving));
    // The wire is closed on exec. Without the announcement the stage did not get that far.
    if (incoming.ended && execing) return {};
    if (incoming.ended) return ended(serving);
    execing = incoming.message.kind == MessageKind::kExec;
    TRY(handle(serving, incoming));
  }
}

}  // namespace vrun::runtime
