#include "vm/vmm/main_process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/agent/frames.hpp"
#include "vm/vmm/raw_terminal.hpp"

namespace vrun::vmm {
namespace {

using Clock = std::chrono::steady_clock;
using vm::FrameType;

constexpr std::size_t kPipePiece = 4096;  // PIPE_BUF: a ready pipe takes as much at once (pipe(7))
constexpr std::chrono::milliseconds kBetweenAttempts{20};
// From the end of the agent to that of its machine, where it is the machine that ends.
constexpr std::chrono::seconds kEndOfMachine{2};
// A guest that waits for a processor on a busy host does not hang: it is looked at again as long as
// it uses some, has not had `wait` of it in all, and `wait` is not over many times.
constexpr std::chrono::seconds kBetweenLooks{10};
constexpr std::chrono::milliseconds kUsesSome{200};
constexpr int kMostWaits = 10;
constexpr std::size_t kLinesTold = 12;
constexpr int kLostStatus = 125;
constexpr int kSavedStatus = 128 + SIGKILL;  // no end of its own

// What waits for one of our outputs.
struct Output {
  int fd;
  std::uint32_t number;  // of kOutputEnd
  std::string waiting;
  bool gone = false;  // nobody reads it
};

// Of all our threads, the machine's processors among them.
std::chrono::nanoseconds time_on_processors() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

class Conversation {
 public:
  Conversation(Vsock& vsock, const MainProcess& wishes)
      : vsock_(vsock), wishes_(wishes), deadline_(begun_ + wishes.wait) {}
  Result<Ended> run();

 private:
  Result<void> turn();
  Result<void> connect();
  void lose(std::string why);
  void end_with_machine();
  std::string why_it_went_off() const;
  int patience() const;
  bool still_comes_up();
  void take_frames();
  void take(const vm::Frame& frame);
  void read_agent();
  void read_input();
  void read_signals();
  void send_size();
  void write_out(Output& output);
  void flush();
  bool has_ended() const {
    return ended_ && outputs_[0].waiting.empty() && outputs_[1].waiting.empty();
  }

  Vsock& vsock_;
  const MainProcess& wishes_;
  const Clock::time_point begun_ = Clock::now();
  Clock::time_point deadline_, next_attempt_{}, agent_end_{};
  std::chrono::nanoseconds used_ = time_on_processors();
  Fd agent_;
  vm::FrameReader reader_;
  std::string to_agent_;
  std::string early_;  // frames for a process that has not been asked for yet
  std::array<Output, 2> outputs_{Output{STDOUT_FILENO, 1, {}}, Output{STDERR_FILENO, 2, {}}};
  bool greeted_ = false, counts_ = false, typing_ = true, agent_gone_ = false;
  std::size_t untaken_ = 0;  // bytes of the input that the guest's process has not taken yet
  std::uint32_t memory_kills_ = 0;
  std::optional<Ended> ended_;
  std::optional<Error> fault_;
};

Result<Ended> Conversation::run() {
  std::optional<RawTerminal> raw;
  if (::isatty(STDIN_FILENO) == 1) raw.emplace();
  TRY(connect());
  while (!has_ended())
    TRY(turn());
  return *std::move(ended_);
}

Result<void> Conversation::connect() {
  agent_ = TRY(vsock_.connect());
  ::fcntl(agent_.get(), F_SETFL, O_NONBLOCK);
  reader_ = {};
  agent_gone_ = false;
  to_agent_ = vm::encode_numbers(FrameType::kHello, {vm::kAgentVersion});
  return {};
}

void Conversation::lose(std::string why) {
  ended_ = Ended{.status = kLostStatus,
                 .memory_kills = memory_kills_,
                 .failure = {},
                 .lost = Lost{std::move(why), wishes_.console->last(kLinesTold)}};
}

void Conversation::end_with_machine() {
  if (!wishes_.was_saved || !wishes_.was_saved()) return lose(why_it_went_off());
  ended_ = Ended{.status = kSavedStatus,
                 .memory_kills = memory_kills_,
                 .failure = {},
                 .lost = {},
                 .saved = true};
}

std::string Conversation::why_it_went_off() const {
  const std::string panic = wishes_.console->panic();
  if (!panic.empty()) return "the guest's kernel panicked: " + panic;
  return wishes_.how_ended();
}

int Conversation::patience() const {
  if (greeted_ && !agent_gone_) return -1;
  Clock::time_point until = deadline_;
  if (agent_gone_) until = greeted_ ? agent_end_ + kEndOfMachine : std::min(until, next_attempt_);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

bool Conversation::still_comes_up() {
  const Clock::time_point now = Clock::now();
  const std::chrono::nanoseconds used = time_on_processors();
  const bool goes_on = used - std::exchange(used_, used) >= kUsesSome && used < wishes_.wait &&
                       now - begun_ < kMostWaits * wishes_.wait;
  if (goes_on) deadline_ = now + std::min(kBetweenLooks, wishes_.wait);
  return goes_on;
}

Result<void> Conversation::turn() {
  flush();
  const bool room = outputs_[0].waiting.empty() && outputs_[1].waiting.empty();
  const bool asks = typing_ && counts_ && untaken_ < vm::kInputWindow;
  const short link =
      static_cast<short>((room && !ended_ ? POLLIN : 0) | (to_agent_.empty() ? 0 : POLLOUT));
  // What the guest said before its machine's end comes first.
  pollfd fds[] = {
      {.fd = room ? wishes_.machine_ended->get() : -1, .events = POLLIN, .revents = 0},
      {.fd = wishes_.signals->get(), .events = POLLIN, .revents = 0},
      {.fd = agent_gone_ || link == 0 ? -1 : agent_.get(), .events = link, .revents = 0},
      {.fd = asks ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0},
      {.fd = outputs_[0].waiting.empty() ? -1 : STDOUT_FILENO, .events = POLLOUT, .revents = 0},
      {.fd = outputs_[1].waiting.empty() ? -1 : STDERR_FILENO, .events = POLLOUT, .revents = 0}};
  TRY(sys::poll(fds, patience()));
  if (fds[1].revents != 0) read_signals();
  if (fds[2].revents != 0) read_agent();
  if (fds[3].revents != 0) read_input();
  if (fds[4].revents != 0) write_out(outputs_[0]);
  if (fds[5].revents != 0) write_out(outputs_[1]);
  take_frames();
  if (fault_) return std::move(*fault_);
  if (ended_) return {};
  if (fds[0].revents != 0 && fds[2].revents == 0) {
    end_with_machine();
  } else if (agent_gone_ && greeted_) {
    if (Clock::now() >= agent_end_ + kEndOfMachine) lose("the guest's agent is gone");
  } else if (!greeted_ && Clock::now() >= deadline_ && !still_comes_up()) {
    const auto waited = std::chrono::floor<std::chrono::seconds>(Clock::now() - begun_);
    lose("the guest did not come up in " + std::to_string(waited.count()) + " s");
  } else if (agent_gone_ && Clock::now() >= next_attempt_) {
    return connect();
  }
  return {};
}

void Conversation::read_agent() {
  char buffer[64 << 10];
  const ssize_t got = ::recv(agent_.get(), buffer, sizeof buffer, 0);
  if (got > 0) reader_.feed({buffer, static_cast<std::size_t>(got)});
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
  agent_gone_ = true;
  agent_end_ = Clock::now();
  next_attempt_ = agent_end_ + kBetweenAttempts;
}

void Conversation::take_frames() {
  while (!ended_ && !fault_) {
    Result<std::optional<vm::Frame>> frame = reader_.next();
    if (!frame) fault_ = std::move(frame).error();
    if (!frame || !*frame) return;
    take(**frame);
  }
}

void Conversation::take(const vm::Frame& frame) {
  switch (frame.type) {
    case FrameType::kHello:
      if (greeted_) return;
      greeted_ = true;
      to_agent_ += wishes_.adoption ? vm::encode(FrameType::kAdopt, wishes_.adoption())
                                    : vm::encode(FrameType::kRun, wishes_.request);
      send_size();
      to_agent_ += std::exchange(early_, {});
      return;
    case FrameType::kOutput:
    case FrameType::kErrors: {
      Output& output = outputs_[frame.type == FrameType::kOutput ? 0 : 1];
      if (!output.gone) output.waiting += frame.content;
      return;
    }
    case FrameType::kExit: {
      const auto code = vm::number_of(frame, 0, 2), signal = vm::number_of(frame, 1, 2);
      if (!code || !signal) {
        fault_ = Error(Code::kInvalid, "the guest's agent sent an end that is none");
        return;
      }
      ended_ = Ended{.status = static_cast<int>(*code & 0xff),
                     .signal = *signal & 0x7f,
                     .memory_kills = memory_kills_,
                     .failure = {},
                     .lost = {}};
      return;
    }
    case FrameType::kInputTaken:
      counts_ = true;
      // The agent of a machine that was saved may speak of what its former host sent.
      untaken_ -= std::min<std::size_t>(untaken_, vm::number_of(frame, 0, 1).value_or(0));
      return;
    case FrameType::kMemoryKills:
      memory_kills_ = vm::number_of(frame, 0, 1).value_or(0);
      return;
    case FrameType::kError: {
      Result<vm::Failure> failure = vm::parse_failure(frame.content);
      if (!failure) {
        fault_ = std::move(failure).error();
        return;
      }
      ended_ = Ended{.status = failure->status, .failure = *std::move(failure), .lost = {}};
      return;
    }
    default:
      return;  // kStarted; and what a later agent may say
  }
}

void Conversation::read_input() {
  char buffer[vm::kMostStream];
  const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  typing_ = got > 0;
  if (typing_) untaken_ += static_cast<std::size_t>(got);
  to_agent_ += typing_ ? vm::encode(FrameType::kInput, {buffer, static_cast<std::size_t>(got)})
                       : vm::encode(FrameType::kInputEnd);
}

void Conversation::read_signals() {
  signalfd_siginfo info;
  while (::read(wishes_.signals->get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGWINCH) {
      if (greeted_) send_size();
      continue;
    }
    const std::string frame = vm::encode_numbers(FrameType::kSignal, {info.ssi_signo});
    (greeted_ ? to_agent_ : early_) += frame;
  }
}

void Conversation::send_size() {
  winsize size{};
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return;
  to_agent_ += vm::encode_numbers(FrameType::kResize, {size.ws_row, size.ws_col});
}

void Conversation::write_out(Output& output) {
  const ssize_t put =
      ::write(output.fd, output.waiting.data(), std::min(output.waiting.size(), kPipePiece));
  if (put > 0) output.waiting.erase(0, static_cast<std::size_t>(put));
  if (put >= 0 || errno == EAGAIN || errno == EINTR) return;
  output.gone = true;
  output.waiting.clear();
  to_agent_ += vm::encode_numbers(FrameType::kOutputEnd, {output.number});
}

void Conversation::flush() {
  while (!to_agent_.empty() && !agent_gone_) {
    const ssize_t put = ::send(agent_.get(), to_agent_.data(), to_agent_.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return;  // full, or the end, which reading tells
    to_agent_.erase(0, static_cast<std::size_t>(put));
  }
}

}  // namespace

Result<Fd> take_signals() {
  // SIGSTKFLT ends a processor's wait (machine.cpp).
  constexpr int kOurs[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,
                           SIGTRAP, SIGABRT, SIGSYS,  SIGCHLD, SIGPIPE, SIGSTKFLT};
  sigset_t set;
  ::sigfillset(&set);
  for (const int signal : kOurs)
    ::sigdelset(&set, signal);
  sigset_t blocked = set;
  ::sigaddset(&blocked, SIGPIPE);  // an error of write(2) instead
  if (::sigprocmask(SIG_BLOCK, &blocked, nullptr) != 0)
    return Error::system(errno, "block signals");
  Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return Error::system(errno, "take signals");
  return signals;
}

Result<Ended> run_main_process(Vsock& vsock, const MainProcess& wishes) {
  return Conversation(vsock, wishes).run();
}

}  // namespace vrun::vmm
