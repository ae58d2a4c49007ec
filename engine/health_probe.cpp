#include "engine/health_probe.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

constexpr std::string_view kTcp = "tcp://";
constexpr std::string_view kHttp = "http://";

Error bad(const std::string& command, const char* why) {
  return Error(Code::kInvalid, "--health-cmd " + quote(command) + ": " + why)
      .hint("such as tcp://:5432 or http://:8080/ready");
}

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

Result<std::optional<HealthProbe>> parse_health_probe(const std::string& command) {
  const bool http = command.starts_with(kHttp);
  if (!http && !command.starts_with(kTcp)) return std::optional<HealthProbe>();
  std::string_view rest = std::string_view(command).substr(http ? kHttp.size() : kTcp.size());
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  HealthProbe probe{http, 0, http ? std::string(rest.substr(slash)) : ""};
  if (probe.path.empty()) probe.path = "/";
  if (!http && slash < rest.size()) return bad(command, "a tcp check has no path");
  // A blank or line end would make the request another one.
  if (probe.path.find_first_of(" \t\r\n") != std::string::npos) {
    return bad(command, "a blank in the path");
  }
  const std::string_view place = rest.substr(0, slash);
  const std::size_t colon = place.rfind(':');
  if (colon == std::string_view::npos && !http) return bad(command, "no port");
  const std::string_view host = place.substr(0, colon);
  if (!host.empty() && host != "localhost" && host != "127.0.0.1" && host != "[::1]") {
    return bad(command, "only the guest itself is checked: leave the host out");
  }
  const auto port = colon == std::string_view::npos ? std::optional<std::uint64_t>(80)
                                                    : parse_u64(place.substr(colon + 1));
  if (!port || *port == 0 || *port > 65535) return bad(command, "not a port");
  probe.port = static_cast<std::uint16_t>(*port);
  return std::optional(probe);
}

Result<std::string> probe_health(const HealthProbe& probe, Pid pid) {
  const Fd net =
      TRY(sys::open(At::cwd(), "/proc/" + std::to_string(pid.value) + "/ns/net", O_RDONLY));
  TRY(sys::set_namespace(net.get(), CLONE_NEWNET));
  const Result<Fd> socket = connect_to(probe.port);
  if (!socket) return socket.error().text();
  return probe.http ? ask(*socket, probe.path) : Result<std::string>(std::string());
}

}  // namespace vrun::engine
