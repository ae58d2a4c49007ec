#include "vm/guest/process.hpp"

#include <cerrno>
#include <csignal>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace vrun::vm {
namespace {

// More than this for one side, and the other is not read. A host that keeps to kInputWindow is.
constexpr std::size_t kMostWaiting = 256 << 10;
constexpr std::size_t kWorthTelling = 16 << 10;

Result<void> unblock(const Fd& fd) {
  if (!fd || ::fcntl(fd.get(), F_SETFL, O_NONBLOCK) == 0) return {};
  return Error::system(errno, "change a pipe");
}

}  // namespace

Result<Pipes> Pipes::create(const oci::User& user) {
  Pipes pipes;
  for (std::size_t i = 0; i < 3; ++i) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return Error::system(errno, "make a pipe");
    Fd reader(ends[0]), writer(ends[1]);
    if (::fchown(reader.get(), user.uid.value, user.gid.value) != 0)
      return Error::system(errno, "give a pipe to the user");
    pipes.theirs[i] = std::move(i == 0 ? reader : writer);
    pipes.ours[i] = std::move(i == 0 ? writer : reader);
    TRY(unblock(pipes.ours[i]));
  }
  return pipes;
}

void set_size(const Fd& console, std::uint32_t rows, std::uint32_t columns) {
  const winsize size{.ws_row = static_cast<unsigned short>(rows),
                     .ws_col = static_cast<unsigned short>(columns),
                     .ws_xpixel = 0,
                     .ws_ypixel = 0};
  ::ioctl(console.get(), TIOCSWINSZ, &size);
}

Relay::Relay(Connection& connection, sys::Child child, Fd console, std::array<Fd, 3> ours)
    : connection_(connection),
      child_(std::move(child)),
      console_(std::move(console)),
      input_(std::move(ours[0])),
      output_(std::move(ours[1])),
      errors_(std::move(ours[2])) {}

Result<Relayed> Relay::run() {
  TRY(unblock(console_));
  if (console_) {
    input_ = TRY(sys::duplicate(console_.get()));
    output_ = TRY(sys::duplicate(console_.get()));
  }
  while (true) {
    take_frames();
    tell_taken();
    connection_.flush();
    if (connection_.closed()) return Relayed{.host_gone = true, .exit = {}};
    const bool listen = to_process_.size() < kMostWaiting;
    const bool room = connection_.waiting() < kMostWaiting;
    const short link =
        static_cast<short>((listen ? POLLIN : 0) | (connection_.waiting() > 0 ? POLLOUT : 0));
    pollfd fds[] = {
        {.fd = connection_.fd(), .events = link, .revents = 0},
        {.fd = child_.pidfd.get(), .events = POLLIN, .revents = 0},
        {.fd = to_process_.empty() ? -1 : input_.get(), .events = POLLOUT, .revents = 0},
        {.fd = room ? output_.get() : -1, .events = POLLIN, .revents = 0},
        {.fd = room ? errors_.get() : -1, .events = POLLIN, .revents = 0}};
    TRY(sys::poll(fds, -1));
    if ((fds[0].revents & ~POLLOUT) != 0 && (listen || (fds[0].revents & POLLIN) == 0))
      connection_.fill();
    if (fds[2].revents != 0) write_input();
    if (fds[3].revents != 0) read_output(output_, FrameType::kOutput);
    if (fds[4].revents != 0) read_output(errors_, FrameType::kErrors);
    if (fds[1].revents == 0) continue;
    drain();
    return Relayed{.host_gone = false, .exit = TRY(sys::wait(child_.pidfd.get()))};
  }
}

void Relay::take_frames() {
  while (std::optional<Frame> frame = connection_.next())
    take(*frame);
  if (!to_process_.empty() || !input_ended_ || console_) return;
  input_.reset();
}

void Relay::take(const Frame& frame) {
  const auto number = number_of(frame, 0, 1);
  switch (frame.type) {
    case FrameType::kInput:
      if (input_ && !input_ended_)
        to_process_ += frame.content;
      else
        taken_ += frame.content.size();
      return;
    case FrameType::kInputEnd:
      input_ended_ = true;
      return;
    case FrameType::kResize: {
      const auto rows = number_of(frame, 0, 2), columns = number_of(frame, 1, 2);
      if (rows && columns && console_) set_size(console_, *rows, *columns);
      return;
    }
    case FrameType::kSignal:
      if (number && *number > 0 && *number <= static_cast<std::uint32_t>(SIGRTMAX))
        static_cast<void>(sys::pidfd_signal(child_.pidfd.get(), static_cast<int>(*number)));
      return;
    case FrameType::kOutputEnd:
      if (number == 1u) output_.reset();
      if (number == 2u) errors_.reset();
      return;
    default:
      return;  // a frame that is none of ours to take changes nothing
  }
}

void Relay::write_input() {
  const ssize_t put = ::write(input_.get(), to_process_.data(), to_process_.size());
  if (put > 0) {
    taken_ += static_cast<std::size_t>(put);
    to_process_.erase(0, static_cast<std::size_t>(put));
  }
  if (put >= 0 || errno == EAGAIN || errno == EINTR) return;
  taken_ += to_process_.size();
  to_process_.clear();  // the process reads no more
  input_.reset();
}

void Relay::tell_taken() {
  if (taken_ == 0 || (taken_ < kWorthTelling && !to_process_.empty())) return;
  connection_.send_numbers(FrameType::kInputTaken, {static_cast<std::uint32_t>(taken_)});
  taken_ = 0;
}

bool Relay::read_output(Fd& from, FrameType type) {
  char buffer[kMostStream];
  const ssize_t got = ::read(from.get(), buffer, sizeof buffer);
  if (got > 0) {
    connection_.send(type, {buffer, static_cast<std::size_t>(got)});
    return true;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  from.reset();  // all writers are gone; a terminal says EIO then
  return false;
}

void Relay::drain() {
  constexpr std::chrono::seconds kMostPatience{10};
  while (output_ && read_output(output_, FrameType::kOutput)) {
    if (connection_.waiting() > kMostWaiting) connection_.flush_all(kMostPatience);
    if (connection_.closed()) return;
  }
  while (errors_ && read_output(errors_, FrameType::kErrors)) {
    if (connection_.waiting() > kMostWaiting) connection_.flush_all(kMostPatience);
    if (connection_.closed()) return;
  }
}

}  // namespace vrun::vm
