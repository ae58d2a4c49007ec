#include "runtime/foreground.hpp"

#include <array>
#include <cerrno>
#include <optional>
#include <string>

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

namespace vrun::runtime {
namespace {

constexpr std::size_t kRelayBytes = 16384;

// One direction of the relay: what was read and not yet written.
class Pipe {
 public:
  Pipe(int from, int to) : from_(from), to_(to) {}

  bool wants_input() const { return open_ && pending_.empty(); }
  bool wants_output() const { return !pending_.empty(); }
  bool is_open() const { return open_; }
  int from() const { return from_; }
  int to() const { return to_; }

  void read() {
    std::array<char, kRelayBytes> buffer{};
    const ssize_t n = ::read(from_, buffer.data(), buffer.size());
    if (n > 0) {
      pending_.assign(buffer.data(), static_cast<std::size_t>(n));
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
      open_ = false;  // EIO: the last slave of the pty was closed
    }
  }
  void write() {
    const ssize_t n = ::write(to_, pending_.data(), pending_.size());
    if (n > 0) {
      pending_.erase(0, static_cast<std::size_t>(n));
    } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
      pending_.clear();  // nobody reads any more; go on draining, so that the guest is not stopped
                         // by it
    }
  }

 private:
  int from_, to_;
  std::string pending_;
  bool open_ = true;
};

void copy_window_size(int console) {
  winsize size{};
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
    static_cast<void>(::ioctl(console, TIOCSWINSZ, &size));
}

bool is_for_us_alone(int signal) {
  return signal == SIGCHLD || signal == SIGPIPE || signal == SIGURG;
}

short events(bool wanted, short event) {
  return wanted ? event : static_cast<short>(0);
}

}  // namespace

struct Foreground::Saved {
  sigset_t mask{};
  std::optional<termios> terminal;
};

Foreground::Foreground(std::unique_ptr<Saved> saved, Fd signals)
    : saved_(std::move(saved)), signals_(std::move(signals)) {}
Foreground::Foreground(Foreground&&) noexcept = default;

Foreground::~Foreground() {
  if (!saved_) return;
  if (saved_->terminal) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &*saved_->terminal);
  ::sigprocmask(SIG_SETMASK, &saved_->mask, nullptr);
}

Result<Foreground> Foreground::create() {
  auto saved = std::make_unique<Saved>();
  sigset_t all;
  sigfillset(&all);
  // Faults of our own must end us where they happen.
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS})
    sigdelset(&all, signal);
  ::sigprocmask(SIG_BLOCK, &all, &saved->mask);
  Fd signals(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return Error::system(errno, "watch for signals");
  return Foreground(std::move(saved), std::move(signals));
}

Result<void> Foreground::forward_signals(int pidfd, int console) {
  std::array<signalfd_siginfo, 8> infos{};
  const ssize_t n = ::read(signals_.get(), infos.data(), sizeof infos);
  if (n < 0) return {};
  for (std::size_t i = 0; i < static_cast<std::size_t>(n) / sizeof infos[0]; ++i) {
    const int signal = static_cast<int>(infos[i].ssi_signo);
    if (signal == SIGWINCH && console >= 0) {
      copy_window_size(console);
    } else if (!is_for_us_alone(signal)) {
      // It may have ended a moment ago: the wait will tell.
      static_cast<void>(sys::pidfd_signal(pidfd, signal));
    }
  }
  return {};
}

Result<sys::Exit> Foreground::wait(int pidfd, Fd console) {
  if (console) {
    copy_window_size(console.get());
    termios now{};
    if (::tcgetattr(STDIN_FILENO, &now) == 0) {
      saved_->terminal = now;
      ::cfmakeraw(&now);
      ::tcsetattr(STDIN_FILENO, TCSANOW, &now);
    }
    ::fcntl(console.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  }
  Pipe input(console ? STDIN_FILENO : -1, console.get());
  Pipe output(console.get(), STDOUT_FILENO);
  bool ended = false;
  // After the end: what the console still holds, but nobody can keep us here by holding it open.
  while (!ended || (console && output.is_open())) {
    std::array<pollfd, 6> fds{{{pidfd, events(!ended, POLLIN), 0},
                               {signals_.get(), POLLIN, 0},
                               {input.wants_input() && !ended ? input.from() : -1, POLLIN, 0},
                               {input.wants_output() && !ended ? input.to() : -1, POLLOUT, 0},
                               {console && output.wants_input() ? output.from() : -1, POLLIN, 0},
                               {console && output.wants_output() ? output.to() : -1, POLLOUT, 0}}};
    const int ready = TRY(sys::poll(fds, ended ? 100 : -1));
    if (ended && ready == 0) break;
    if (fds[1].revents != 0) TRY(forward_signals(pidfd, console.get()));
    if (fds[2].revents != 0) input.read();
    if (fds[3].revents != 0) input.write();
    if (fds[4].revents != 0) output.read();
    if (fds[5].revents != 0) output.write();
    if (fds[0].revents != 0) ended = true;
  }
  return sys::wait(pidfd);
}

}  // namespace vrun::runtime
