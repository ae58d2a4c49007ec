#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fault_injection.hpp"
#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::sys {
namespace {

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error(Code::kInvalid, "socket " + quote(path) + ": the path is longer than 107 bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// A short name for DIR/NAME, whatever the length of DIR: /proc/self/fd/N/NAME.
std::string short_path(At dir, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(dir.get()) + "/" + name;
}

Result<Fd> new_socket(int type) {
  const int fd = static_cast<int>(VRUN_CALL("socket", ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)));
  if (fd < 0) return Error::system(errno, "make a socket");
  return Fd(fd);
}

Result<Fd> connect_to(const std::string& path, const std::string& shown, int type) {
  Fd socket = TRY(new_socket(type));
  const sockaddr_un address = TRY(address_of(path));
  // Bounds connect(2) too (unix(7) waits while the listener's queue is full).
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  int result;
  do {
    result = static_cast<int>(VRUN_CALL(
        "connect",
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address)));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return socket;
  const int error = errno;
  Error failed = Error::system(error, "connect to socket " + quote(shown));
  if (error != EAGAIN) return failed;
  return std::move(failed).hint("whoever listens there accepts no connections");
}

}  // namespace

Result<SocketPair> packet_pair() {
  std::array<int, 2> pair{};
  if (VRUN_CALL("socketpair",
                ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data())) != 0) {
    return Error::system(errno, "make a socket pair");
  }
  return SocketPair{Fd(pair[0]), Fd(pair[1])};
}

Result<Fd> listen_packets(At dir, const std::string& name) {
  Fd socket = TRY(new_socket(SOCK_SEQPACKET));
  const sockaddr_un address = TRY(address_of(short_path(dir, name)));
  if (VRUN_CALL("bind", ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                               sizeof address)) != 0) {
    return Error::system(errno, "bind socket " + quote(name));
  }
  if (VRUN_CALL("listen", ::listen(socket.get(), 1)) != 0)
    return Error::system(errno, "listen on socket " + quote(name));
  return socket;
}

Result<Fd> connect_packets(At dir, const std::string& name) {
  return connect_to(short_path(dir, name), name, SOCK_SEQPACKET);
}

Result<Fd> connect_stream(const std::string& path) {
  sockaddr_un limit{};
  if (path.size() < sizeof limit.sun_path) return connect_to(path, path, SOCK_STREAM);
  const std::string dir(fs::dir_name(path));
  Fd parent = TRY(open(At::cwd(), dir, O_PATH | O_DIRECTORY));
  return connect_to(short_path(parent, std::string(fs::base_name(path))), path, SOCK_STREAM);
}

Result<Fd> accept(int listener) {
  int fd;
  do {
    fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return Error::system(errno, "accept a connection");
  return Fd(fd);
}

Result<void> send(int socket, std::span<const char> bytes, int fd) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  ssize_t n;
  do {
    n = VRUN_CALL("sendmsg", ::sendmsg(socket, &message, MSG_NOSIGNAL));
  } while (n < 0 && errno == EINTR);
  if (n < 0) return Error::system(errno, "send a message");
  return {};
}

Result<Received> receive(int socket, std::span<char> buffer) {
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n;
  do {
    n = VRUN_CALL("recvmsg", ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
  } while (n < 0 && errno == EINTR);
  // The other side died with unread data: the same as its end.
  if (n < 0 && errno == ECONNRESET) n = 0;
  if (n < 0) return Error::system(errno, "receive a message");
  Received received;
  received.bytes = static_cast<std::size_t>(n);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    received.fd.reset(fd);
  }
  return received;
}

Result<int> poll(std::span<pollfd> fds, int timeout_ms) {
  const int n = ::poll(fds.data(), fds.size(), timeout_ms);
  if (n < 0 && errno == EINTR) return 0;
  if (n < 0) return Error::system(errno, "wait for descriptors");
  return n;
}

}  // namespace vrun::sys
