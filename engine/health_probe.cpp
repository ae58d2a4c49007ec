#include "engine/health_probe.hpp"

#include <algorithm>

#include <fcntl.h>
#include <sched.h>

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

}  // namespace

Result<std::optional<network::PortProbe>> parse_health_probe(const std::string& command) {
  const bool http = command.starts_with(kHttp);
  if (!http && !command.starts_with(kTcp)) return std::optional<network::PortProbe>();
  std::string_view rest = std::string_view(command).substr(http ? kHttp.size() : kTcp.size());
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  network::PortProbe probe{http, 0, http ? std::string(rest.substr(slash)) : ""};
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

Result<std::string> probe_health(const network::PortProbe& probe, Pid pid) {
  const Fd net =
      TRY(sys::open(At::cwd(), "/proc/" + std::to_string(pid.value) + "/ns/net", O_RDONLY));
  TRY(sys::set_namespace(net.get(), CLONE_NEWNET));
  return network::probe_port(probe);
}

}  // namespace vrun::engine
