#include <array>
#include <cerrno>
#include <cstddef>

#include <signal.h>
#include <sys/socket.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "oci/documents.hpp"
#include "runtime/container.hpp"
#include "runtime/fault.hpp"
#include "runtime/hooks.hpp"
#include "runtime/listener.hpp"
#include "runtime/record.hpp"

namespace vrun::runtime {
namespace {

using steps::Message;
using steps::MessageKind;

Error wrong_state(const std::string& id, Status status) {
  switch (status) {
    case Status::kStopped:
      return Error(Code::kState, "cannot start a container that has stopped").at(id);
    case Status::kRunning:
      return Error(Code::kState, "cannot start an already running container").at(id);
    default:
      return Error(Code::kState,
                   "cannot start a container in the " + std::string(to_text(status)) + " state")
          .at(id);
  }
}

struct Starting {
  const oci::Spec& spec;
  const Info& info;
  Fd gate;
};

Result<void> serve_listener(const Starting& starting, const Fd& block) {
  if (!starting.spec.linux.seccomp)
    return Error(Code::kInternal, "a seccomp listener without seccomp");
  const oci::Seccomp& seccomp = *starting.spec.linux.seccomp;
  const Fd pidfd = TRY(sys::pidfd_open(starting.info.pid));
  return deliver_listener(
      {seccomp.listener_path, seccomp.listener_metadata, to_state(starting.info)}, pidfd.get(),
      block);
}

// Until the exec: the gate connection is closed by it.
Result<void> follow(const Starting& starting) {
  bool execing = false;
  while (true) {
    Message message{};
    sys::Received received = TRY(sys::receive(
        starting.gate.get(), std::span(reinterpret_cast<char*>(&message), sizeof message)));
    if (received.bytes == 0 && execing) return {};
    if (received.bytes == 0)
      return Error(Code::kSystem, "the container process ended before it executed its program");
    if (received.bytes < offsetof(Message, text))
      return Error(Code::kInternal, "the container stage sent half a message");
    switch (message.kind) {
      case MessageKind::kExec:
        execing = true;
        break;
      case MessageKind::kListener:
        TRY(serve_listener(starting, received.fd));
        break;
      case MessageKind::kFault: {
        const auto op = static_cast<steps::Op>(message.op);
        return to_error(message, op, std::string(steps::name_of(op)), "",
                        starting.spec.process->args);
      }
      default:
        return Error(Code::kInternal, "the container stage sent a message that nobody expects");
    }
  }
}

}  // namespace

Result<void> start(const Context& context, const std::string& id) {
  const Folder folder = TRY(Folder::open(context.root, id, Folder::Lock::kExclusive));
  const Folder::Loaded loaded = TRY(folder.load());
  Info info = TRY(read_info(folder, loaded, context.host));
  if (info.status != Status::kCreated) return wrong_state(id, info.status);
  const oci::Spec spec = TRY(folder.load_config());

  Result<Fd> gate = sys::connect_packets(folder.dir(), kGateName);
  // Killed between the look and now.
  if (!gate && gate.error().sys_errno() == ECONNREFUSED) return wrong_state(id, Status::kStopped);
  Starting starting{spec, info, TRY(std::move(gate))};
  constexpr std::string_view kGo = "s";
  Result<void> sent = sys::send(starting.gate.get(), kGo);
  if (!sent && sent.error().sys_errno() == EPIPE) return wrong_state(id, Status::kStopped);
  TRY(std::move(sent));
  Result<void> started = follow(starting);
  // Started or failed for good: nobody waits at the gate any more.
  static_cast<void>(sys::unlink(folder.dir(), kGateName));
  TRY(std::move(started));
  info.status = Status::kRunning;
  folder.unlock();  // a hook may take its time, or call us
  Result<void> hooked = run_hooks(spec.hooks.poststart, to_state(info), "poststart");
  // As runc: a guest whose poststart hook failed does not go on.
  if (!hooked) {
    const Result<Fd> pidfd = sys::pidfd_open(info.pid);
    if (pidfd) static_cast<void>(sys::pidfd_signal(pidfd->get(), SIGKILL));
  }
  return hooked;
}

}  // namespace vrun::runtime
