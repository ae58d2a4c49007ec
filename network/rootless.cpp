#include "network/rootless.hpp"

#include <algorithm>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/text.hpp"

namespace vrun::network {
namespace {

std::string find_in_path(const Host& host, const char* name) {
  for (const std::string_view dir : split(host.variable("PATH"), ':')) {
    std::string path = fs::join(dir, name);
    if (dir.starts_with('/') && ::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

Error needs_root(const std::string& what) {
  return Error(Code::kUnsupported, what + ": needs root")
      .hint("run it with sudo, or leave it away: without root guests have a way out and ports");
}

Result<void> check_plain(const AttachRequest& request) {
  if (request.joins.size() != 1 || request.joins[0].network != kDefaultNetwork) {
    return needs_root("networks by name");
  }
  const Join& join = request.joins[0];
  if (join.ipv4 || join.ipv6 || join.mac) return needs_root("a fixed address");
  if (!join.aliases.empty()) return needs_root("an alias on a network");
  if (request.bandwidth != Bandwidth{}) return needs_root("a limit of bandwidth");
  return {};
}

// pasta(1): -t [ADDRESS/]HOST[-LAST]:GUEST[-LAST]
std::string pasta_port(const Publish& port) {
  const auto range = [&](std::uint16_t first) {
    std::string text = std::to_string(first);
    if (port.count > 1) text += "-" + std::to_string(first + port.count - 1);
    return text;
  };
  std::string text;
  if (port.host4) text = to_text(*port.host4) + "/";
  if (port.host6) text = to_text(*port.host6) + "/";
  return text + range(port.host_port) + ":" + range(port.guest_port);
}

std::vector<std::string> pasta_command(const AttachRequest& request, Pid pid,
                                       const std::string& program) {
  // No ports but those asked for; nothing of the host's loopback.
  std::vector<std::string> words{program, "--config-net", "--no-map-gw", "-T",
                                 "none",  "-U",           "none"};
  for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp}) {
    bool any = false;
    for (const Publish& port : request.ports) {
      if (port.protocol != protocol) continue;
      words.emplace_back(protocol == Protocol::kTcp ? "-t" : "-u");
      words.push_back(pasta_port(port));
      any = true;
    }
    if (any) continue;
    words.emplace_back(protocol == Protocol::kTcp ? "-t" : "-u");
    words.emplace_back("none");
  }
  words.push_back(std::to_string(pid.value));
  return words;
}

}  // namespace

RootlessTools RootlessTools::find(const Host& host) {
  return {find_in_path(host, "pasta"), find_in_path(host, "slirp4netns")};
}

Result<std::vector<std::string>> rootless_command(const AttachRequest& request, Pid pid,
                                                  const RootlessTools& tools) {
  TRY(check_plain(request));
  const bool free_port = std::any_of(request.ports.begin(), request.ports.end(),
                                     [](const Publish& port) { return port.host_port == 0; });
  if (free_port) {
    return Error(Code::kInvalid, "publish: without root the port of the host must be named")
        .hint("write HOST-PORT:GUEST-PORT");
  }
  if (!tools.pasta.empty()) return pasta_command(request, pid, tools.pasta);
  if (tools.slirp4netns.empty()) {
    return Error(Code::kUnsupported,
                 "network without root: neither pasta nor slirp4netns is installed")
        .hint("apt install passt (or slirp4netns), or use --network none or host");
  }
  for (const Publish& port : request.ports) {
    if (!port.host6) continue;
    return Error(Code::kUnsupported, "publish " + to_text(port) +
                                         ": without root an IPv6 address needs pasta, which is not "
                                         "installed")
        .hint("apt install passt");
  }
  return std::vector<std::string>{tools.slirp4netns,
                                  "--configure",
                                  "--mtu=65520",
                                  "--disable-host-loopback",
                                  "--enable-ipv6",
                                  std::to_string(pid.value),
                                  "tap0"};
}

}  // namespace vrun::network
