#include "vm/guest/connection.hpp"

#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace vrun::vm {
namespace {

using Clock = std::chrono::steady_clock;

// False at the deadline.
bool wait_until(int fd, short events, Clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    pollfd one{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&one, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

}  // namespace

Connection::Connection(Fd socket, std::string_view read_already) : socket_(std::move(socket)) {
  reader_.feed(read_already);
  ::fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
}

void Connection::flush() {
  while (!out_.empty() && !closed_) {
    const ssize_t put = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) return;
    if (put < 0) closed_ = true;
    if (put > 0) out_.erase(0, static_cast<std::size_t>(put));
  }
}

void Connection::fill() {
  char buffer[16 << 10];
  const ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
  if (got > 0) reader_.feed({buffer, static_cast<std::size_t>(got)});
  if (got == 0) ended_ = true;
  if (got < 0 && errno != EINTR && errno != EAGAIN) closed_ = true;
  // A frame that was begun will not come to its end, and nobody waits for answers: a host keeps
  // its side open until it has read the last word.
  if (ended_) closed_ = true;
}

std::optional<Frame> Connection::next() {
  Result<std::optional<Frame>> frame = reader_.next();
  if (frame) return *std::move(frame);
  closed_ = true;
  return std::nullopt;
}

std::optional<Frame> Connection::wait_for_frame(std::chrono::milliseconds most) {
  const Clock::time_point deadline = Clock::now() + most;
  flush();
  while (true) {
    if (std::optional<Frame> frame = next()) return frame;
    if (closed_ || !wait_until(socket_.get(), POLLIN, deadline)) return std::nullopt;
    fill();
  }
}

void Connection::flush_all(std::chrono::milliseconds most) {
  const Clock::time_point deadline = Clock::now() + most;
  flush();
  while (!out_.empty() && !closed_ && wait_until(socket_.get(), POLLOUT, deadline))
    flush();
}

void Connection::finish(std::chrono::milliseconds most) {
  const Clock::time_point deadline = Clock::now() + most;
  flush_all(most);
  ::shutdown(socket_.get(), SHUT_WR);
  while (!closed_ && wait_until(socket_.get(), POLLIN, deadline)) {
    fill();
    while (next()) {
    }
  }
}

}  // namespace vrun::vm
