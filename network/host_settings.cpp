#include "network/host_settings.hpp"

#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::network {
namespace {

std::string switch_path(const Host& host, const std::string& name) {
  return host.proc + "/sys/net/" + name;
}

Result<std::string> value_of(const std::string& path) {
  const std::string text = TRY(fs::read_file(At::cwd(), path, 256));
  return std::string(trim(text));
}

Result<void> set(const std::string& path, const std::string& value) {
  const std::string now = TRY(value_of(path));
  if (now == value) return {};
  return fs::write_value(At::cwd(), path, value);
}

// Before the host becomes a router: from then on accept_ra=1 means no.
Result<void> keep_advertisements(const Host& host) {
  const std::string all = switch_path(host, "ipv6/conf");
  const Fd dir = TRY(sys::open_dir(At::cwd(), all));
  for (const std::string& name : TRY(sys::list_dir(dir.get()))) {
    if (name == "all" || name == "default" || name == "lo") continue;
    const std::string path = all + "/" + name + "/accept_ra";
    Result<std::string> now = value_of(path);
    if (now && *now == "1") TRY(fs::write_value(At::cwd(), path, "2"));
  }
  return {};
}

}  // namespace

Result<void> turn_on_forwarding(const Host& host) {
  TRY(set(switch_path(host, "ipv4/ip_forward"), "1"));
  if (!has_ipv6(host)) return {};
  const std::string path = switch_path(host, "ipv6/conf/all/forwarding");
  const std::string now = TRY(value_of(path));
  if (now == "1") return {};
  TRY(keep_advertisements(host));
  return set(path, "1");
}

Result<void> prepare_bridge(const Host& host, const std::string& bridge) {
  if (!has_ipv6(host)) return {};
  TRY(set(switch_path(host, "ipv6/conf/" + bridge + "/accept_dad"), "0"));
  return set(switch_path(host, "ipv6/conf/" + bridge + "/accept_ra"), "0");
}

Result<void> route_loopback(const Host& host, const std::string& bridge) {
  return set(switch_path(host, "ipv4/conf/" + bridge + "/route_localnet"), "1");
}

bool has_ipv6(const Host& host) {
  return ::access(switch_path(host, "ipv6").c_str(), F_OK) == 0;
}

}  // namespace vrun::network
