#include <unistd.h>

#include "base/fs.hpp"
#include "cgroups/group.hpp"
#include "cgroups/layout.hpp"

namespace vrun::cgroups {
namespace {

bool is_delegated(const std::string& dir) {
  return ::access(fs::join(dir, "cgroup.procs").c_str(), W_OK) == 0 &&
         ::access(fs::join(dir, "cgroup.subtree_control").c_str(), W_OK) == 0;
}

// The topmost group above ours that is delegated to us; empty: not even our own is. It is the
// topmost because a group with processes gives its children no controllers (cgroup-v2, no internal
// processes).
std::string delegated_group(const Layout& layout, const Host& host) {
  const auto own = own_membership(host);
  std::string path = own && own->size() == 1 ? own->front().path : "/";
  std::string found;
  while (path.size() > 1 && is_delegated(fs::join(layout.v2_mount, path))) {
    found = path;
    path = fs::dir_name(path);
  }
  // The whole tree of a cgroup namespace may be ours (a guest whose init divides its own group).
  if (path == "/" && is_delegated(layout.v2_mount)) return "/";
  return found;
}

}  // namespace

std::string guest_path(const std::string& tenant, const std::string& name, const Host& host) {
  const std::string parent = tenant_path(tenant, host);
  return parent.empty() ? "" : parent + "/" + name;
}

std::string tenant_path(const std::string& tenant, const Host& host) {
  const std::string path = "vrun/" + tenant;
  const Result<Layout> layout = find_layout(host);
  if (host.nested()) {
    const std::string group =
        layout && layout->v2_only() ? delegated_group(*layout, host) : std::string();
    return group.empty() ? "" : fs::join(group, path);
  }
  return layout && layout->v2_only() ? "/" + path : path;
}

}  // namespace vrun::cgroups
