#include "runtime/gate_child.hpp"

#include <linux/fcntl.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "process/exec_child.hpp"

namespace vrun::runtime {
namespace {

constexpr long kEintr = 4;
constexpr long kEagain = 11;
constexpr long kEtimedout = 110;
constexpr long kEpipe = 32;
constexpr long kSockCloexec = 02000000;
constexpr int kSigkill = 9;
constexpr int kSigchld = 17;
constexpr short kPollIn = 1;

struct PollFd {
  int fd;
  short events, revents;
};
struct TimeSpec {
  long seconds, nanoseconds;
};

// 1 when readable, 0 on timeout.
long wait_readable(int fd, int timeout_ms) {
  PollFd poll{fd, kPollIn, 0};
  TimeSpec time{timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};
  long n;
  do {
    n = raw::call(__NR_ppoll, raw::ptr(&poll), 1, timeout_ms < 0 ? 0 : raw::ptr(&time), 0, 0);
  } while (n == -kEintr);
  return n;
}

// The hook's own process: the state on stdin, everything else as the stage has it.
[[noreturn]] void become_hook(steps::Context& context, const steps::HookArgs& args) {
  raw::call(__NR_lseek, args.state_fd, 0, 0);
  raw::call(__NR_dup3, args.state_fd, 0, 0);
  raw::call(__NR_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
  process::reset_signals(context);  // vrun ignores SIGPIPE; a hook expects to die of it
  raw::call(__NR_execve, raw::ptr(args.path), raw::ptr(args.argv), raw::ptr(args.envp));
  raw::exit_group(127);
}

void say_number(steps::Context& context, unsigned value) {
  char digits[12];
  unsigned at = sizeof digits - 1;
  digits[at] = '\0';
  do {
    digits[--at] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  context.say(digits + at);
}

// waitid's siginfo_t: 128 bytes; code at 8, status at 24.
struct SigInfo {
  int signo, error, code, pad, pid, uid, status, rest[25];
};

long wait_hook(steps::Context& context, int pidfd) {
  SigInfo info;
  __builtin_memset(&info, 0, sizeof info);
  long result;
  do {
    result = raw::call(__NR_waitid, P_PIDFD, pidfd, raw::ptr(&info), WEXITED, 0);
  } while (result == -kEintr);
  if (result < 0) return result;
  constexpr int kCldExited = 1;
  if (info.code == kCldExited && info.status == 0) return 0;
  context.say(info.code == kCldExited ? "exit status " : "killed by signal ");
  say_number(context, static_cast<unsigned>(info.status));
  return -kEpipe;
}

}  // namespace

long ask(steps::Context& context) {
  const long sent = steps::send_message(context, steps::MessageKind::kAsk, 0);
  return sent < 0 ? sent : steps::await_answer(context);
}

long ready(steps::Context& context) {
  const long sent = steps::send_message(context, steps::MessageKind::kReady, 0);
  return sent < 0 ? sent : steps::await_answer(context);
}

long gate(steps::Context& context, const steps::GateArgs& args) {
  // The parent is gone or about to go: from here on faults belong to whoever starts us.
  while (true) {
    const long connection = raw::call(__NR_accept4, args.listener, 0, 0, kSockCloexec);
    if (connection == -kEintr || connection == -kEagain) continue;
    if (connection < 0) return connection;
    char go = 0;
    if (raw::read(static_cast<int>(connection), &go, 1) == 1) {
      context.gate_connection = static_cast<int>(connection);
      break;
    }
    raw::close(static_cast<int>(connection));
  }
  return raw::close(args.listener);
}

long run_hook(steps::Context& context, const steps::HookArgs& args) {
  int pidfd = -1;
  struct clone_args clone;
  __builtin_memset(&clone, 0, sizeof clone);
  clone.flags = CLONE_PIDFD;
  clone.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  clone.exit_signal = kSigchld;
  const long pid = raw::call(__NR_clone3, raw::ptr(&clone), sizeof clone);
  if (pid < 0) return pid;
  if (pid == 0) become_hook(context, args);
  const long readable = wait_readable(pidfd, args.timeout_ms);
  if (readable == 0) raw::call(__NR_pidfd_send_signal, pidfd, kSigkill, 0, 0);
  const long result = wait_hook(context, pidfd);
  raw::close(pidfd);
  if (readable == 0) context.say(": the timeout passed");
  return readable == 0 ? -kEtimedout : result;
}

}  // namespace vrun::runtime
