#include "base/host.hpp"

#include <string_view>

#include <unistd.h>

namespace vrun {
namespace {

// XDG says that a relative XDG_RUNTIME_DIR is to be ignored; systemd makes /run/user/UID.
std::string user_runtime_dir(const Host& host) {
  const std::string_view told = host.variable("XDG_RUNTIME_DIR");
  if (told.starts_with('/')) return std::string(told);
  return "/run/user/" + std::to_string(host.euid.value);
}

}  // namespace

std::string_view Host::variable(std::string_view name) const {
  for (const std::string_view entry : env) {
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=') {
      return entry.substr(name.size() + 1);
    }
  }
  return {};
}

Host Host::current() {
  Host host;
  host.euid = Uid(::geteuid());
  host.egid = Gid(::getegid());
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    host.env.emplace_back(*entry);
  }
  host.runtime_dir = (host.rootless() ? user_runtime_dir(host) : "/run") + "/vrun";
  host.cache_dir = host.runtime_dir + "/cache";
  return host;
}

}  // namespace vrun
