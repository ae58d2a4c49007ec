#include "network/port_probe.hpp"

#include <array>
#include <cerrno>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::network {
namespace {

// v6 sockets that also take v4 come last: a service may listen on one of them only.
Result<Fd> connect_to(std::uint16_t port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&v4), sizeof v4) == 0) return socket;
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = in6addr_loopback;
  socket.reset(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&v6), sizeof v6) == 0) return socket;
  return Error::system(errno, "connect to port " + std::to_string(port));
}

// "HTTP/1.1 204 No Content": from 200 to 399.
std::string status_fault(std::string_view answer) {
  const std::size_t blank = answer.find(' ');
  if (!answer.starts_with("HTTP/1.") || blank == std::string_view::npos) {
    return "the answer is no HTTP";
  }
  const auto status = parse_u64(answer.substr(blank + 1, 3));
  if (status && *status >= 200 && *status < 400) return {};
  return "answered with status " + printable(answer.substr(blank + 1, 3));
}

Result<std::string> ask(const Fd& socket, const std::string& path) {
  TRY(sys::write_all(socket.get(), "GET " + path +
                                       " HTTP/1.0\r\nHost: localhost\r\nUser-Agent: vrun-health\r\n"
                                       "Connection: close\r\n\r\n"));
  constexpr std::size_t kStatusLine = 12;  // "HTTP/1.1 200"
  std::string answer;
  std::array<char, 512> buffer{};
  while (answer.size() < kStatusLine) {
    const std::size_t n = TRY(sys::read(socket.get(), buffer));
    if (n == 0) break;
    answer.append(buffer.data(), n);
  }
  return status_fault(answer);
}

}  // namespace

Result<std::string> probe_port(const PortProbe& probe) {
  const Result<Fd> socket = connect_to(probe.port);
  if (!socket) return socket.error().text();
  return probe.http ? ask(*socket, probe.path) : Result<std::string>(std::string());
}

}  // namespace vrun::network
