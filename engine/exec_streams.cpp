#include "engine/exec_streams.hpp"

#include <cerrno>
#include <string>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "engine/terminal_text.hpp"

namespace vrun::engine {
namespace {

constexpr std::size_t kChunk = 16384;

// One stream of the guest, as text for the terminal.
class Shown {
 public:
  explicit Shown(int to) : to_(to) {}
  void add(std::string_view text) {
    std::string out;
    for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
      out += text_.take(text.substr(0, end), true) + "\n";
      text.remove_prefix(end + 1);
    }
    out += text_.take(text, false);
    write(out);
  }
  void end() { write(text_.take("", true)); }

 private:
  // A terminal that is gone is no reason to stop the process: it is told by its own signals.
  void write(const std::string& out) { static_cast<void>(sys::write_all(to_, out)); }
  int to_;
  TerminalText text_;
};

// Answers false at the end of the stream.
bool move_output(const Fd& from, Shown& shown) {
  std::array<char, kChunk> buffer{};
  const ssize_t n = ::read(from.get(), buffer.data(), buffer.size());
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n > 0) shown.add({buffer.data(), static_cast<std::size_t>(n)});
  return n > 0;
}

// What was typed goes in as far as the process takes it.
class Typed {
 public:
  Typed(int from, Fd to) : from_(from), to_(std::move(to)) {}
  bool wants_more() const { return to_ && held_.empty(); }
  bool wants_to_give() const { return to_ && !held_.empty(); }
  int from() const { return from_; }
  int to() const { return to_.get(); }
  void read() {
    std::array<char, kChunk> buffer{};
    const ssize_t n = ::read(from_, buffer.data(), buffer.size());
    if (n > 0) held_.assign(buffer.data(), static_cast<std::size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) to_.reset();
  }
  void give() {
    const ssize_t n = ::write(to_.get(), held_.data(), held_.size());
    if (n > 0) held_.erase(0, static_cast<std::size_t>(n));
    if (n < 0 && errno != EINTR && errno != EAGAIN) to_.reset();
  }

 private:
  int from_;
  Fd to_;
  std::string held_;
};

// Until all is said after the end, or nobody can say anything any more.
void move_bytes(Typed typed, Fd out, Fd err, const Fd& stopped) {
  std::array<Fd, 2> from{std::move(out), std::move(err)};
  std::array<Shown, 2> shown{Shown(STDOUT_FILENO), Shown(STDERR_FILENO)};
  bool ended = false;
  while (from[0] || from[1] || (!ended && (typed.wants_more() || typed.wants_to_give()))) {
    std::array<pollfd, 5> watched{
        pollfd{from[0].get(), POLLIN, 0}, pollfd{from[1].get(), POLLIN, 0},
        pollfd{ended ? -1 : stopped.get(), POLLIN, 0},
        pollfd{!ended && typed.wants_more() ? typed.from() : -1, POLLIN, 0},
        pollfd{!ended && typed.wants_to_give() ? typed.to() : -1, POLLOUT, 0}};
    const int ready = ::poll(watched.data(), watched.size(), ended ? 0 : -1);
    if (ready < 0 && errno != EINTR) break;
    if (ready <= 0 && ended) break;
    for (std::size_t i = 0; i < 2; ++i) {
      if (watched[i].revents != 0 && !move_output(from[i], shown[i])) from[i].reset();
    }
    if (watched[2].revents != 0) ended = true;
    if (watched[3].revents != 0) typed.read();
    if (watched[4].revents != 0) typed.give();
  }
  for (Shown& one : shown)
    one.end();
}

Result<void> make_pipe(Fd& read_end, Fd& write_end) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "make a pipe");
  read_end.reset(ends[0]);
  write_end.reset(ends[1]);
  return {};
}

Result<void> never_wait(const Fd& fd) {
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) == 0) return {};
  return Error::system(errno, "set up a pipe");
}

}  // namespace

Result<ExecStreams> ExecStreams::create(std::array<int, 3> stdio) {
  ExecStreams streams;
  streams.stdio_ = stdio;
  for (std::size_t i = 0; i < 3; ++i) {
    if (stdio[i] >= 0 || ::isatty(static_cast<int>(i)) == 0) continue;
    Fd& given = streams.given_[i];
    Fd& kept = streams.kept_[i];
    TRY(i == 0 ? make_pipe(given, kept) : make_pipe(kept, given));
    TRY(never_wait(kept));
    streams.stdio_[i] = given.get();
  }
  return streams;
}

Result<void> ExecStreams::start() {
  if (!kept_[0] && !kept_[1] && !kept_[2]) return {};
  TRY(make_pipe(stopped_, stop_));
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] {
    move_bytes(Typed(STDIN_FILENO, std::move(kept_[0])), std::move(kept_[1]), std::move(kept_[2]),
               stopped_);
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

void ExecStreams::finish() {
  for (Fd& one : given_)
    one.reset();
  stop_.reset();
  if (thread_.joinable()) thread_.join();
}

ExecStreams::~ExecStreams() {
  finish();
}

}  // namespace vrun::engine
