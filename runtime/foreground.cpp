#include "runtime/foreground.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <limits>
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

using Clock = std::chrono::steady_clock;

constexpr std::size_t kRelayBytes = 16384;
// What the console holds at the end is relayed, however slow the reader is: more than a pty holds,
// or until nothing came for a while. Others may go on writing to it for ever.
constexpr std::size_t kLastBytes = 256U << 10U;
constexpr std::chrono::milliseconds kLastPause(200);

// One direction of the relay: what was read and not yet written.
class Pipe {
 public:
  Pipe(int from, int to) : from_(from), to_(to) {}

  bool wants_input() const { return open_ && pending_.empty(); }
  bool wants_output() const { return !pending_.empty(); }
  bool is_open() const { return open_; }
  int from() const { return from_; }
  int to() const { return to_; }

  // False once the stream has ended.
  bool read() {
    std::array<char, kRelayBytes> buffer{};
    const ssize_t n = ::read(from_, buffer.data(), buffer.size());
    if (n > 0) {
      pending_.assign(buffer.data(), static_cast<std::size_t>(n));
      left_ -= std::min(left_, static_cast<std::size_t>(n));
      if (left_ == 0) open_ = false;
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
      open_ = false;  // EIO: nobody has the other side of the pty open
    }
    return open_;
  }
  // From now on that many bytes at most.
  void limit(std::size_t bytes) { left_ = bytes; }
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
  std::size_t left_ = std::numeric_limits<std::size_t>::max();
  bool open_ = true;
};

void copy_window_size(int console) {
  winsize size{};
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
    static_cast<void>(::ioctl(console, TIOCSWINSZ, &size));
}

bool asks_for_the_end(int signal) {
  return signal == SIGINT || signal == SIGTERM || signal == SIGQUIT || signal == SIGHUP;
}

bool is_for_us_alone(int signal) {
  return signal == SIGCHLD || signal == SIGPIPE || signal == SIGURG;
}

// ioctl_tty(2), TIOCGPTPEER: wherever the pty's /dev/pts is mounted. Not as our controlling
// terminal.
Fd open_other_side(const Fd& console) {
  return Fd(::ioctl(console.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
}

// A terminal tells its readers the end of the input by a character (termios(3), VEOF).
void end_of_input(const Fd& console) {
  if (::isatty(STDIN_FILENO) == 1) return;
  termios settings{};
  if (::tcgetattr(console.get(), &settings) != 0 || (settings.c_lflag & ICANON) == 0) return;
  static_cast<void>(!::write(console.get(), &settings.c_cc[VEOF], 1));
}

int milliseconds_until(const std::optional<Clock::time_point>& moment) {
  if (!moment) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*moment - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

short events(bool wanted, short event) {
  return wanted ? event : static_cast<short>(0);
}

}  // namespace

oci::ConsoleSize terminal_size() {
  winsize size{};
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_row, size.ws_col};
}

struct Foreground::Saved {
  sigset_t mask{};
  std::optional<termios> terminal;
  Ending ending = Ending::kByGuest;
  int asked = 0;                             // how often we were asked to end
  std::optional<Clock::time_point> kill_at;  // after a hang-up
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

void Foreground::heed(int pidfd, int signal) {
  constexpr int kEnough = 3;
  constexpr std::chrono::seconds kGrace(10);
  if (signal == SIGHUP && !saved_->kill_at) saved_->kill_at = Clock::now() + kGrace;
  if (!asks_for_the_end(signal) || signal == SIGHUP) return;
  if (++saved_->asked == kEnough) static_cast<void>(sys::pidfd_signal(pidfd, SIGKILL));
}

// True when one of them asks for the end.
bool Foreground::forward_signals(int pidfd, int console) {
  std::array<signalfd_siginfo, 8> infos{};
  const ssize_t n = ::read(signals_.get(), infos.data(), sizeof infos);
  bool asked = false;
  if (n < 0) return asked;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n) / sizeof infos[0]; ++i) {
    const int signal = static_cast<int>(infos[i].ssi_signo);
    if (signal == SIGWINCH && console >= 0) {
      copy_window_size(console);
    } else if (!is_for_us_alone(signal)) {
      // It may have ended a moment ago: the wait will tell.
      static_cast<void>(sys::pidfd_signal(pidfd, signal));
      if (saved_->ending == Ending::kByUser) heed(pidfd, signal);
      asked |= asks_for_the_end(signal);
    }
  }
  return asked;
}

Result<sys::Exit> Foreground::wait(int pidfd, Fd console, Ending ending) {
  saved_->ending = ending;
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
  TRY(relay(pidfd, std::move(console)));
  return sys::wait(pidfd);
}

// Until the process has ended and what its console still held is out.
Result<void> Foreground::relay(int pidfd, Fd console) {
  // While somebody has the other side open, a guest that closes its last descriptor of it and opens
  // it anew later (getty does) is no end of the stream for us.
  Fd other_side = console ? open_other_side(console) : Fd();
  Pipe input(console ? STDIN_FILENO : -1, console.get());
  Pipe output(console.get(), STDOUT_FILENO);
  std::optional<Clock::time_point> stop_at;  // set once it has ended
  while (!stop_at || output.wants_output() || (console && output.is_open())) {
    std::array<pollfd, 6> fds{{{pidfd, events(!stop_at, POLLIN), 0},
                               {signals_.get(), POLLIN, 0},
                               {input.wants_input() && !stop_at ? input.from() : -1, POLLIN, 0},
                               {input.wants_output() && !stop_at ? input.to() : -1, POLLOUT, 0},
                               {console && output.wants_input() ? output.from() : -1, POLLIN, 0},
                               {console && output.wants_output() ? output.to() : -1, POLLOUT, 0}}};
    TRY(sys::poll(fds, milliseconds_until(stop_at ? stop_at : saved_->kill_at)));
    if (stop_at && Clock::now() >= *stop_at) {
      if (!output.wants_output()) break;
      stop_at = Clock::now() + kLastPause;
    }
    if (saved_->kill_at && Clock::now() >= *saved_->kill_at) {
      saved_->kill_at.reset();
      static_cast<void>(sys::pidfd_signal(pidfd, SIGKILL));
    }
    if (fds[1].revents != 0 && forward_signals(pidfd, console.get()) && stop_at) break;
    if (fds[2].revents != 0 && !input.read()) end_of_input(console);
    if (fds[3].revents != 0) input.write();
    if (fds[4].revents != 0) static_cast<void>(output.read());
    if (fds[5].revents != 0) output.write();
    if (fds[0].revents != 0) {
      other_side.reset();
      output.limit(kLastBytes);
      stop_at = Clock::now() + kLastPause;
    }
  }
  return {};
}

}  // namespace vrun::runtime
