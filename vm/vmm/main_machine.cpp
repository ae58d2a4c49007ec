#include "vm/vmm/main_machine.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/vmm/raw_terminal.hpp"

namespace vrun::vmm {
namespace {

// A prompt has no end of line: what stays unfinished for so long is shown.
constexpr int kUnfinishedMs = 10;
// A driver takes keys by the handful.
constexpr int kTypingMs = 10;
constexpr std::size_t kMostTyped = 4096;
// A system that still boots does not hear its button.
constexpr std::chrono::seconds kAgain{3};

using Clock = std::chrono::steady_clock;

std::optional<int> next_signal(const Fd& signals) {
  signalfd_siginfo info;
  if (::read(signals.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

class Conversation {
 public:
  Conversation(const MachineConsole& machine, const Fd& signals)
      : machine_(machine), signals_(signals) {}

  Result<void> run() {
    while (!TRY(turn())) {
    }
    return {};
  }

 private:
  // Whether the machine has ended.
  Result<bool> turn() {
    const bool reads = typing_ && keys_.size() < kMostTyped;
    std::array<pollfd, 4> fds{
        pollfd{.fd = machine_.ended->get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = signals_.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = reads ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0},
        pollfd{.fd = machine_.held != nullptr ? machine_.held->get() : -1,
               .events = POLLIN,
               .revents = 0}};
    const int ready = TRY(sys::poll(fds, patience()));
    if (again_ && Clock::now() >= *again_) press();
    if (unfinished_ && ready == 0) {
      machine_.flush();
      unfinished_ = false;
    }
    if (fds[1].revents != 0) read_signals();
    if (fds[2].revents != 0) read_keys();
    if (fds[3].revents != 0) {
      eventfd_t count = 0;
      ::eventfd_read(machine_.held->get(), &count);
      unfinished_ = true;
    }
    if (!keys_.empty()) keys_.erase(0, machine_.type(keys_));
    return fds[0].revents != 0;
  }

  int patience() const {
    if (unfinished_) return kUnfinishedMs;
    if (!keys_.empty()) return kTypingMs;
    if (!again_) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*again_ - Clock::now());
    return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
  }

  void press() {
    again_ = Clock::now() + kAgain;
    const Result<void> done = machine_.press_button();
    if (!done) machine_.say("vrun-vmm: power button: " + done.error().text() + "\r\n");
  }

  void read_keys() {
    std::array<char, 1024> buffer;
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    typing_ = got > 0;
    if (got > 0) keys_.append(buffer.data(), static_cast<std::size_t>(got));
  }

  void read_signals() {
    while (const std::optional<int> signal = next_signal(signals_)) {
      if (*signal == SIGWINCH || *signal == SIGHUP) continue;  // of a terminal, no serial port
      if (!is_power_button(*signal)) {
        machine_.say("vrun-vmm: signal " + std::to_string(*signal) +
                     " is nothing that a machine knows; TERM is its power button\r\n");
        continue;
      }
      press();
    }
  }

  const MachineConsole& machine_;
  const Fd& signals_;
  std::string keys_;
  bool typing_ = true, unfinished_ = false;
  std::optional<Clock::time_point> again_;  // the button is pressed
};

[[noreturn]] void become_boot(const std::function<int()>& boot, pid_t parent) {
  const bool good = ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && ::getppid() == parent;
  const int status = good ? boot() : 125;
  std::fflush(nullptr);
  ::_exit(status);
}

// Whoever else ended is ours as well, where we are the first process of a namespace.
Result<int> status_of(pid_t child) {
  while (true) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, 0);
    if (ended < 0 && errno != EINTR) return Error::system(errno, "wait for the machine");
    if (ended != child) continue;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
}

// `off`: becomes true when the machine is asked to go off.
Result<int> watch(pid_t child, const Fd& signals, const Fd& news,
                  const std::function<void()>& take_news, bool& off) {
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!process) return Error::system(errno, "watch the machine");
  while (true) {
    std::array<pollfd, 3> fds{pollfd{.fd = process.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = signals.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = news.get(), .events = POLLIN, .revents = 0}};
    TRY(sys::poll(fds, -1));
    if (fds[2].revents != 0) take_news();
    if (fds[0].revents != 0) return status_of(child);
    while (const std::optional<int> signal = next_signal(signals)) {
      off |= is_power_button(*signal);
      ::syscall(SYS_pidfd_send_signal, process.get(), *signal, nullptr, 0);
    }
  }
}

}  // namespace

bool is_power_button(int signal) {
  // The last two are systemd's: stop signals of guests whose PID 1 it is in a container.
  return signal == SIGTERM || signal == SIGINT || signal == SIGPWR || signal == SIGRTMIN + 3 ||
         signal == SIGRTMIN + 4;
}

Result<int> run_boots(const Fd& signals, const Fd& news, const std::function<void()>& take_news,
                      const std::function<int()>& boot) {
  std::optional<RawTerminal> raw;
  if (::isatty(STDIN_FILENO) == 1) raw.emplace();
  bool off = false;
  while (true) {
    const pid_t self = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) return Error::system(errno, "start the machine's process");
    if (child == 0) become_boot(boot, self);
    const int status = TRY(watch(child, signals, news, take_news, off));
    // Asked to go off while it went down for a reboot: that is off, and the next boot would not
    // know.
    if (status == kResetStatus && off) return 0;
    if (status != kResetStatus) return status;
  }
}

Result<void> stay_with(const MachineConsole& machine, const Fd& signals) {
  return Conversation(machine, signals).run();
}

}  // namespace vrun::vmm
