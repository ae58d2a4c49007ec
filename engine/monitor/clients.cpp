#include "engine/monitor/clients.hpp"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/monitor/kernel.hpp"
#include "engine/monitor/protocol.hpp"

namespace vrun::monitor {
namespace {

char incoming[kChunk + 1];

}  // namespace

void Clients::adopt(int socket, char flags) {
  for (Client& client : clients_) {
    if (client.socket >= 0) continue;
    client = {socket, flags, false, 0};
    return;
  }
  ::close(socket);  // too many
}

void Clients::drop(Client& client) {
  ::close(client.socket);
  client = {};
}

bool Clients::try_send(Client& client) {
  iovec parts[2] = {{&kind_, 1}, {const_cast<char*>(bytes_), count_}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  const ssize_t n = ::sendmsg(client.socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n < 0) drop(client);
  return true;
}

void Clients::send(char kind, const char* bytes, size_t count) {
  kind_ = kind;
  bytes_ = bytes;
  count_ = count;
  for (Client& client : clients_) {
    if (client.socket < 0 || (client.flags & kWantsOutput) == 0 || try_send(client)) continue;
    client.stalled = true;
    client.since = now_ms();
  }
}

bool Clients::is_stalled() const {
  for (const Client& client : clients_) {
    if (client.stalled) return true;
  }
  return false;
}

bool Clients::any_lossless_stalled() const {
  for (const Client& client : clients_) {
    if (client.stalled && (client.flags & kLossless) != 0) return true;
  }
  return false;
}

void Clients::drop_stalled(int limit_ms) {
  const int64_t now = now_ms();
  for (Client& client : clients_) {
    if (!client.stalled) continue;
    const bool lossless = (client.flags & kLossless) != 0;
    const int limit = lossless ? limit_ms : kStallMs;
    if (limit >= 0 && now - client.since >= limit) drop(client);
  }
}

int Clients::patience_ms() const {
  return is_stalled() ? 500 : -1;
}

size_t Clients::fill(pollfd* fds, bool wants_input) const {
  size_t count = 0;
  fds[count++] = {listener_, POLLIN, 0};
  for (const Client& client : clients_) {
    const int input = wants_input ? POLLIN : 0;
    const int output = client.stalled ? POLLOUT : 0;
    fds[count++] = {client.socket, static_cast<short>(input | output), 0};
  }
  return count;
}

void Clients::accept() {
  const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (socket >= 0) adopt(socket, 0);
}

void Clients::receive(Client& client, Handler handler, void* context) {
  const ssize_t n = ::recv(client.socket, incoming, sizeof incoming, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return drop(client);
  if (incoming[0] == kHello) {
    client.flags = n > 1 ? incoming[1] : 0;
    return;
  }
  handler(context, {incoming[0], incoming + 1, static_cast<size_t>(n) - 1});
}

void Clients::serve(const pollfd* fds, size_t count, Handler handler, void* context) {
  for (size_t i = 1; i < count; ++i) {
    Client& client = clients_[i - 1];
    if (client.socket < 0 || client.socket != fds[i].fd || fds[i].revents == 0) continue;
    if ((fds[i].revents & POLLOUT) != 0 && client.stalled && try_send(client)) {
      client.stalled = false;
    }
    if ((fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive(client, handler, context);
  }
  if (fds[0].revents != 0) accept();
}

void Clients::say_end(int32_t code) {
  End end{code};
  for (Client& client : clients_) {
    if (client.socket < 0) continue;
    kind_ = kExit;
    bytes_ = reinterpret_cast<const char*>(&end);
    count_ = sizeof end;
    static_cast<void>(try_send(client));
    // Open until the end has been written down: that is when the client may go on.
    if (client.socket >= 0) ::fcntl(client.socket, F_SETFD, 0);
  }
}

}  // namespace vrun::monitor
