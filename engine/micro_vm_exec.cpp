#include "engine/micro_vm_exec.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"
#include "engine/micro_vm.hpp"
#include "vm/agent/failure.hpp"
#include "vm/agent/frames.hpp"

namespace vrun::engine {
namespace {

using vm::FrameType;

constexpr int kRetryMs = 100, kBootMs = 60000;

std::optional<winsize> terminal_size() {
  winsize size{};
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0) return std::nullopt;
  return size;
}

void write_user(json::Writer& w, const oci::User& user) {
  w.key("user").begin_object();
  w.member("uid", user.uid.value).member("gid", user.gid.value);
  w.key("additionalGids").begin_array();
  for (const Gid gid : user.additional_gids)
    w.value(gid.value);
  w.end_array().end_object();
}

std::string document_of(const MicroVmExec& request) {
  json::Writer w;
  w.begin_object();
  w.member("args", std::span<const std::string>(request.args));
  w.member("env", std::span<const std::string>(request.env));
  w.member("terminal", request.terminal).member("endsWithHost", request.ends_with_us);
  if (!request.cwd.empty()) w.member("cwd", request.cwd);
  if (!request.capabilities.empty())
    w.member("capabilities", std::span<const std::string>(request.capabilities));
  if (request.user) write_user(w, *request.user);
  const std::optional<winsize> size = request.terminal ? terminal_size() : std::nullopt;
  if (size) {
    w.key("consoleSize").begin_object();
    w.member("height", unsigned{size->ws_row}).member("width", unsigned{size->ws_col});
    w.end_object();
  }
  w.end_object();
  return w.take();
}

// Signals for the process as a descriptor, and the terminal raw, while it lives.
class Foreground {
 public:
  explicit Foreground(bool raw) {
    sigset_t held;
    ::sigemptyset(&held);
    for (const int signal : {SIGWINCH, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2})
      ::sigaddset(&held, signal);
    ::sigprocmask(SIG_BLOCK, &held, &mask_);
    signals_ = Fd(::signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK));
    termios now{};
    if (!raw || ::tcgetattr(STDIN_FILENO, &now) != 0) return;
    terminal_ = now;
    ::cfmakeraw(&now);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &now);
  }
  Foreground(const Foreground&) = delete;
  Foreground& operator=(const Foreground&) = delete;
  ~Foreground() {
    if (terminal_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &*terminal_);
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }
  int signals() const { return signals_.get(); }

 private:
  sigset_t mask_{};
  Fd signals_;
  std::optional<termios> terminal_;
};

class Session {
 public:
  Session(Fd socket, const MicroVmExec& request, int& status)
      : socket_(std::move(socket)), request_(request), status_(status) {}

  // Did the agent answer at all?
  bool heard() const { return heard_; }

  Result<int> run() {
    to_agent_ = vm::encode_numbers(FrameType::kHello, {vm::kAgentVersion}) +
                vm::encode(FrameType::kExec, document_of(request_));
    const Foreground foreground(request_.terminal && request_.input);
    if (!request_.input) to_agent_ += vm::encode(FrameType::kInputEnd);
    bool typing = request_.input;
    while (!code_) {
      flush();
      const std::size_t ahead = counts_ ? untaken_ : to_agent_.size();
      const bool asks = typing && started_ && ahead < vm::kInputWindow;
      const short link = static_cast<short>(POLLIN | (to_agent_.empty() ? 0 : POLLOUT));
      std::array<pollfd, 3> fds{pollfd{socket_.get(), link, 0},
                                pollfd{foreground.signals(), POLLIN, 0},
                                pollfd{asks ? STDIN_FILENO : -1, POLLIN, 0}};
      TRY(sys::poll(fds, -1));
      if ((fds[0].revents & ~POLLOUT) != 0) TRY(hear());
      if (fds[1].revents != 0) hand_on(foreground.signals());
      if (fds[2].revents != 0 && !code_) typing = TRY(type());
    }
    return *code_;
  }

 private:
  // What the agent does not take yet waits, and nobody for it.
  void flush() {
    while (!to_agent_.empty()) {
      const ssize_t put =
          ::send(socket_.get(), to_agent_.data(), to_agent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0 && errno == EAGAIN) return;
      if (put < 0) return to_agent_.clear();  // its end, which reading tells
      to_agent_.erase(0, static_cast<std::size_t>(put));
    }
  }

  Result<void> hear() {
    std::array<char, 65536> buffer{};
    const std::size_t count = TRY(sys::read(socket_.get(), buffer));
    if (count == 0) return Error(Code::kState, "the guest ended, or its agent did");
    heard_ = true;
    reader_.feed({buffer.data(), count});
    while (!code_) {
      const std::optional<vm::Frame> frame = TRY(reader_.next());
      if (!frame) break;
      TRY(take(*frame));
    }
    return {};
  }

  Result<void> take(const vm::Frame& frame) {
    switch (frame.type) {
      case FrameType::kHello:
        if (vm::number_of(frame, 0, 1) == vm::kAgentVersion) return {};
        return Error(Code::kUnsupported, "the guest's agent speaks another version")
            .hint("restart the guest");
      case FrameType::kStarted:
        started_ = true;
        if (request_.detach) code_ = 0;
        return {};
      case FrameType::kInputTaken:
        counts_ = true;
        untaken_ -= std::min<std::size_t>(untaken_, vm::number_of(frame, 0, 1).value_or(0));
        return {};
      case FrameType::kOutput:
        return sys::write_all(STDOUT_FILENO, frame.content);
      case FrameType::kErrors:
        return sys::write_all(STDERR_FILENO, frame.content);
      case FrameType::kExit: {
        const auto code = vm::number_of(frame, 0, 2), signal = vm::number_of(frame, 1, 2);
        if (!code || !signal) break;
        code_ = static_cast<int>(*signal == 0 ? *code & 0xffU : 128 + (*signal & 0x7fU));
        return {};
      }
      case FrameType::kError: {
        const vm::Failure failure = TRY(vm::parse_failure(frame.content));
        status_ = failure.status;
        return vm::error_of(failure);
      }
      default:
        break;
    }
    return Error(Code::kState, "the guest's agent said something that makes no sense");
  }

  void hand_on(int signals) {
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) != sizeof info) return;
    if (info.ssi_signo != SIGWINCH) {
      // As long as there is no process that could get it, it is ours.
      if (!started_) code_ = static_cast<int>(128 + info.ssi_signo);
      to_agent_ += vm::encode_numbers(FrameType::kSignal, {info.ssi_signo});
      return;
    }
    const std::optional<winsize> size = terminal_size();
    if (!size || !request_.terminal) return;
    to_agent_ += vm::encode_numbers(FrameType::kResize, {size->ws_row, size->ws_col});
  }

  // False at the end of what is typed.
  Result<bool> type() {
    std::array<char, 16384> buffer{};
    const std::size_t count = TRY(sys::read(STDIN_FILENO, buffer));
    untaken_ += count;
    to_agent_ += count == 0 ? vm::encode(FrameType::kInputEnd)
                            : vm::encode(FrameType::kInput, {buffer.data(), count});
    return count != 0;
  }

  Fd socket_;
  const MicroVmExec& request_;
  int& status_;
  vm::FrameReader reader_;
  std::string to_agent_;
  std::size_t untaken_ = 0;  // bytes of the input that the process has not taken yet
  bool heard_ = false, started_ = false, counts_ = false;
  std::optional<int> code_;
};

// The agent answers before the guest's own process runs.
bool is_early(const Error& error, int status) {
  return status == 125 && (error.code() == Code::kNotFound || error.code() == Code::kState);
}

}  // namespace

Result<int> exec_by_socket(const std::string& path, const std::function<bool()>& runs,
                           const MicroVmExec& request, int& status) {
  ::signal(SIGPIPE, SIG_IGN);  // a guest that ends is an answer, not our end
  for (int waited = 0;; waited += kRetryMs) {
    Result<Fd> socket = sys::connect_stream(path);
    const bool ended = !socket && socket.error().sys_errno() == ECONNREFUSED && !runs();
    if (ended) return Error(Code::kState, "the guest has ended");
    if (!socket) return std::move(std::move(socket).error().during("the guest's agent"));
    Session session(*std::move(socket), request, status);
    Result<int> code = session.run();
    if (code || (session.heard() && !is_early(code.error(), status))) return code;
    // The guest still boots, or it has ended.
    if (!runs()) return code;
    if (waited >= kBootMs) return std::move(std::move(code).error().during("the guest's agent"));
    TRY(sys::poll({}, kRetryMs));
  }
}

Result<int> exec_in_micro_vm(const Guests& guests, const GuestRecord& record,
                             const MicroVmExec& request, int& status) {
  const auto runs = [&] {
    // Of one with a disk the agent has answered already (find_agent).
    if (is_disk_guest(record.request)) return false;
    const Result<Guest> guest = guests.find(record.name);
    return guest && guest->runs();
  };
  return exec_by_socket(guests.monitor_dir(record) + "/" + kAgentSocket, runs, request, status);
}

}  // namespace vrun::engine
