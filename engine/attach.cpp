#include "engine/attach.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/monitor/protocol.hpp"

namespace vrun::engine {
namespace {

// Raw while it lives.
class RawTerminal {
 public:
  explicit RawTerminal(bool wanted) {
    termios now{};
    if (!wanted || ::tcgetattr(STDIN_FILENO, &now) != 0) return;
    saved_ = now;
    ::cfmakeraw(&now);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &now);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (saved_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &*saved_);
  }
  bool active() const { return saved_.has_value(); }

 private:
  std::optional<termios> saved_;
};

// Signals that are for the guest, as a descriptor.
class HeldSignals {
 public:
  explicit HeldSignals(bool forward) {
    sigset_t held;
    ::sigemptyset(&held);
    ::sigaddset(&held, SIGWINCH);
    if (forward) {
      for (const int signal :
           {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGPIPE})
        ::sigaddset(&held, signal);
    }
    ::sigprocmask(SIG_BLOCK, &held, &before_);
    fd_ = Fd(::signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  ~HeldSignals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  int fd() const { return fd_.get(); }

 private:
  sigset_t before_{};
  Fd fd_;
};

// Finds the detach keys in what is typed; keys that only began are held back.
class KeyWatch {
 public:
  explicit KeyWatch(std::string keys) : keys_(std::move(keys)) {}
  // What goes to the guest; `detached` when the keys are complete.
  std::string pass(std::string_view typed, bool& detached) {
    std::string out;
    for (const char c : typed) {
      if (!keys_.empty() && c == keys_[seen_]) {
        if (++seen_ < keys_.size()) continue;
        detached = true;
        return out;
      }
      out.append(keys_, 0, seen_);
      seen_ = 0;
      if (!keys_.empty() && c == keys_[0]) {
        seen_ = 1;
      } else {
        out += c;
      }
    }
    return out;
  }

 private:
  std::string keys_;
  std::size_t seen_ = 0;
};

void write_whole(int fd, std::string_view bytes) {
  // Nobody reads any more: the guest's output goes on being taken, as `docker run | head` wants it.
  static_cast<void>(sys::write_all(fd, bytes));
}

class Session {
 public:
  explicit Session(AttachRequest request)
      : request_(std::move(request)),
        keys_(request_.tty ? request_.detach_keys : ""),
        raw_(request_.tty && request_.input),
        signals_(request_.forward_signals) {}
  Result<AttachEnd> run();

 private:
  Result<void> tell(char kind, std::string_view bytes);
  Result<void> tell_size();
  Result<void> take_signals();
  Result<void> heed(int signal);
  Result<void> take_input();
  void watch_interrupts(std::string_view typed);
  Result<bool> take_message();  // false: the connection has ended

  AttachRequest request_;
  KeyWatch keys_;
  RawTerminal raw_;
  HeldSignals signals_;
  int asked_ = 0;     // how often to end
  int unheeded_ = 0;  // Ctrl-C typed since the guest last said something
  AttachEnd end_;
  bool ended_ = false, input_open_ = true;
};

Result<void> Session::tell(char kind, std::string_view bytes) {
  std::string message(1, kind);
  message += bytes;
  const ssize_t n = ::send(request_.connection.get(), message.data(), message.size(), MSG_NOSIGNAL);
  if (n >= 0 || errno == EPIPE || errno == ECONNRESET) return {};  // its end says the rest
  return Error::system(errno, "talk to the guest's monitor");
}

Result<void> Session::tell_size() {
  winsize size{};
  if (!request_.tty || ::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0) return {};
  const monitor::Size message{size.ws_row, size.ws_col};
  return tell(monitor::kResize, {reinterpret_cast<const char*>(&message), sizeof message});
}

// A guest's first process ignores the signals that it has no handler for (pid_namespaces(7)): a
// person who asks for the third time means it.
Result<void> Session::heed(int signal) {
  constexpr int kEnough = 3;
  constexpr char kKill = SIGKILL;
  if (signal != SIGINT && signal != SIGTERM && signal != SIGQUIT) return {};
  if (++asked_ != kEnough) return {};
  return tell(monitor::kSignal, {&kKill, 1});
}

Result<void> Session::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.fd(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const auto number = static_cast<char>(info.ssi_signo);
    if (info.ssi_signo == SIGWINCH) {
      TRY(tell_size());
    } else if (info.ssi_signo != SIGPIPE && info.ssi_signo != SIGCONT) {
      TRY(tell(monitor::kSignal, {&number, 1}));
      TRY(heed(static_cast<int>(info.ssi_signo)));
    }
  }
  return {};
}

// On a terminal Ctrl-C is the guest's to heed, and its first process need not (pid_namespaces(7)):
// who types it again and again is told the way out.
void Session::watch_interrupts(std::string_view typed) {
  constexpr char kInterrupt = 3;
  constexpr int kEnough = 3;
  if (!raw_.active()) return;
  for (const char c : typed) {
    if (c != kInterrupt || ++unheeded_ != kEnough) continue;
    write_whole(
        STDERR_FILENO,
        "\r\nvrun: the guest does not heed Ctrl-C; `vrun kill` ends it, and the detach keys "
        "(ctrl-p ctrl-q unless you chose others) leave it to itself\r\n");
  }
}

Result<void> Session::take_input() {
  std::array<char, 16384> buffer{};
  const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return {};
  if (n <= 0) {
    input_open_ = false;
    return tell(monitor::kNoMore, "");
  }
  const std::string bytes = keys_.pass({buffer.data(), static_cast<std::size_t>(n)}, end_.detached);
  if (bytes.empty()) return {};
  watch_interrupts(bytes);
  return tell(monitor::kInput, bytes);
}

Result<bool> Session::take_message() {
  static std::array<char, monitor::kChunk + 1> buffer;
  const ssize_t n = ::recv(request_.connection.get(), buffer.data(), buffer.size(), 0);
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) return false;
  const std::string_view bytes(buffer.data() + 1, static_cast<std::size_t>(n) - 1);
  switch (buffer[0]) {
    case monitor::kOutput:
      // A terminal that echoes ^C has not heeded it.
      if (bytes.find_first_not_of("^C") != std::string_view::npos) unheeded_ = 0;
      write_whole(STDOUT_FILENO, bytes);
      break;
    case monitor::kError:
      write_whole(STDERR_FILENO, bytes);
      break;
    case monitor::kExit: {
      monitor::End end{};
      if (bytes.size() == sizeof end) std::memcpy(&end, bytes.data(), sizeof end);
      end_.code = end.code;
      ended_ = true;
      break;
    }
    default:
      break;
  }
  return true;
}

Result<AttachEnd> Session::run() {
  TRY(tell_size());
  while (!end_.detached) {
    const int input = request_.input && input_open_ && !ended_ ? STDIN_FILENO : -1;
    std::array<pollfd, 3> fds{
        {{request_.connection.get(), POLLIN, 0}, {signals_.fd(), POLLIN, 0}, {input, POLLIN, 0}}};
    TRY(sys::poll(fds, -1));
    if (fds[1].revents != 0) TRY(take_signals());
    if (fds[2].revents != 0) TRY(take_input());
    if (fds[0].revents != 0 && !TRY(take_message())) break;
  }
  if (!ended_ && !end_.detached) {
    return Error(Code::kState, "the connection to the guest's monitor was lost")
        .hint("the guest goes on: `vrun attach` connects again");
  }
  return end_;
}

std::optional<char> key_byte(std::string_view key) {
  if (key.size() == 1) return key[0];
  if (!key.starts_with("ctrl-") || key.size() != 6) return std::nullopt;
  char letter = key[5];
  if (letter >= 'a' && letter <= 'z') letter = static_cast<char>(letter - 'a' + 'A');
  if (letter < '@' || letter > '_') return std::nullopt;
  return static_cast<char>(letter - '@');
}

}  // namespace

Result<std::string> parse_detach_keys(std::string_view text) {
  std::string bytes;
  if (text.empty()) return bytes;
  for (const std::string_view key : split(text, ',')) {
    const auto byte = key_byte(key);
    if (!byte) {
      return Error(Code::kInvalid,
                   "--detach-keys " + quote(text) + ": " + quote(key) + " is no key")
          .hint("single characters and ctrl-LETTER, separated by commas: ctrl-p,ctrl-q");
    }
    bytes += *byte;
  }
  return bytes;
}

Result<AttachEnd> attach(AttachRequest request) {
  return Session(std::move(request)).run();
}

Result<Fd> connect_to_monitor(const Guests& guests, const GuestRecord& record) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), guests.monitor_dir(record)));
  Result<Fd> socket = sys::connect_packets(dir, "attach");
  if (!socket) return std::move(socket).error().during("connect to the monitor of " + record.name);
  const std::array<char, 2> hello{monitor::kHello, monitor::kWantsOutput};
  TRY(sys::send(socket->get(), hello));
  return socket;
}

}  // namespace vrun::engine
