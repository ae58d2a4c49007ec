#include "cgroups/group.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/layout.hpp"
#include "cgroups/legacy.hpp"
#include "cgroups/plan.hpp"
#include "cgroups/systemd.hpp"
#include "cgroups/tree.hpp"
#include "cgroups/unified.hpp"

namespace vrun::cgroups {
namespace {

Error no_hierarchy(const Host& host) {
  return Error(Code::kUnsupported,
               "no cgroup hierarchy is mounted below " + quote(host.cgroup_root))
      .hint("mount one: mount -t cgroup2 none " + host.cgroup_root);
}

std::optional<Tree> v2_tree(const Layout& layout, const std::string& path) {
  if (layout.v2_mount.empty() || path.empty()) return std::nullopt;
  return Tree(layout.v2_mount, path);
}

Error no_group_of_ours(const std::string& path) {
  return Error(Code::kInvalid,
               "the recorded cgroup " + quote(path) + " does not name a container's group");
}

std::vector<LegacyDir> legacy_dirs(const Layout& layout, const Location& location) {
  std::vector<LegacyDir> dirs;
  for (const V1Hierarchy& hierarchy : layout.v1) {
    auto recorded = location.paths.find(hierarchy.name());
    if (recorded != location.paths.end()) dirs.emplace_back(hierarchy, fs::clean(recorded->second));
  }
  return dirs;
}

// What comes from a file is checked again: destroy() kills everything below the paths.
Result<void> check_location(const Layout& layout, const Location& location) {
  std::string path = location.path.empty() ? "" : fs::clean(location.path);
  if (path == "/" || (!path.empty() && path.front() != '/')) return no_group_of_ours(location.path);
  for (const V1Hierarchy& hierarchy : layout.v1) {
    auto recorded = location.paths.find(hierarchy.name());
    if (recorded == location.paths.end()) continue;
    if (!fs::clean(recorded->second).starts_with(hierarchy.mount + "/")) {
      return no_group_of_ours(recorded->second);
    }
  }
  return {};
}

// The files of a group, whatever driver made it.
std::unique_ptr<Group> open_files(const Location& location, const Host& host,
                                  const Layout& layout) {
  std::string path = location.path.empty() ? "" : fs::clean(location.path);
  if (layout.v2_only()) {
    return UnifiedGroup::existing(layout.v2_mount, path, host.rootless());
  }
  return LegacyGroup::existing(v2_tree(layout, path), legacy_dirs(layout, location),
                               {{}, host.rootless(), false, host.proc});
}

std::unique_ptr<Group> systemd_group(Location location, SystemdGroup::Options options,
                                     const Host& host, const Layout& layout) {
  auto open = [host, layout](const Location& where, bool fresh) -> Result<std::unique_ptr<Group>> {
    TRY(check_location(layout, where));
    if (layout.v2_only() || !fresh) return open_files(where, host, layout);
    auto group =
        LegacyGroup::existing(v2_tree(layout, fs::clean(where.path)), legacy_dirs(layout, where),
                              {{}, host.rootless(), false, host.proc});
    TRY(group->adopt());
    return std::unique_ptr<Group>(std::move(group));
  };
  return std::make_unique<SystemdGroup>(std::move(location), std::move(options),
                                        systemd_bus(host, host.rootless()), std::move(open));
}

// Below the manager of the user, or of the system.
Result<std::string> unit_path(const UnitName& name, const Host& host) {
  std::string base;
  if (host.rootless()) {
    SystemdBus bus = systemd_bus(host, true);
    base = TRY(bus({UnitRequest::Verb::kOwnPath, "", {}}));
  }
  if (name.is_slice()) return base + TRY(expand_slice(name.unit));
  return fs::join(base + TRY(expand_slice(name.slice)), name.unit);
}

Result<std::unique_ptr<Group>> plan_systemd(const Request& request, const Host& host,
                                            const Layout& layout) {
  UnitName name = TRY(unit_name(request.cgroups_path, request.id, host.rootless()));
  SystemdGroup::Options options{name, unit_properties(name, request.id), layout.v2_only(), false};
  if (request.resources != nullptr) {
    for (Property& one : TRY(resource_properties(*request.resources, layout.v2_only()))) {
      options.properties.push_back(std::move(one));
    }
  }
  for (Property& one : TRY(annotation_properties(request.annotations))) {
    options.properties.push_back(std::move(one));
  }
  Location location;
  location.driver = "systemd";
  location.unit = name.unit;
  location.slice = name.slice;
  location.path = TRY(unit_path(name, host));
  if (!layout.v2_mount.empty()) location.paths[""] = fs::join(layout.v2_mount, location.path);
  for (const V1Hierarchy& hierarchy : layout.v1) {
    location.paths[hierarchy.name()] = fs::join(hierarchy.mount, location.path);
  }
  return systemd_group(std::move(location), std::move(options), host, layout);
}

// The membership is only needed for paths that start at our own group.
Result<std::vector<Membership>> membership_for(const Request& request, const Host& host) {
  if (request.cgroups_path.starts_with('/')) return std::vector<Membership>();
  return own_membership(host);
}

Result<std::unique_ptr<Group>> plan_below(const Request& request, const Host& host,
                                          const Layout& layout, std::vector<Need> needs) {
  TRY(check_location(layout, *request.below));
  const Location location = sub_group(*request.below, request.cgroups_path);
  if (layout.v2_only()) {
    UnifiedGroup::Options options{std::move(needs), request.rootless, false};
    return std::unique_ptr<Group>(
        std::make_unique<UnifiedGroup>(layout.v2_mount, location.path, std::move(options)));
  }
  LegacyGroup::Options options{std::move(needs), request.rootless, false, host.proc};
  return std::unique_ptr<Group>(std::make_unique<LegacyGroup>(
      v2_tree(layout, location.path), legacy_dirs(layout, location), std::move(options)));
}

}  // namespace

Result<std::unique_ptr<Group>> plan(const Request& request, const Host& host) {
  return plan_in(request, host, TRY(find_layout(host)));
}

Result<std::unique_ptr<Group>> plan_in(const Request& request, const Host& host,
                                       const Layout& layout) {
  if (layout.v2_mount.empty() && layout.v1.empty()) return no_hierarchy(host);
  if (request.systemd) return plan_systemd(request, host, layout);
  std::vector<Need> needs;
  if (request.resources != nullptr) needs = needed_controllers(*request.resources);
  if (request.below != nullptr) return plan_below(request, host, layout, std::move(needs));
  bool may_do_without = request.rootless && request.cgroups_path.empty() && needs.empty();
  std::vector<Membership> own = TRY(membership_for(request, host));
  std::string path = TRY(v2_path(request.cgroups_path, request.id, own));
  if (layout.v2_only()) {
    UnifiedGroup::Options options{std::move(needs), request.rootless, may_do_without};
    return std::unique_ptr<Group>(
        std::make_unique<UnifiedGroup>(layout.v2_mount, path, std::move(options)));
  }
  std::vector<LegacyDir> dirs;
  for (const V1Hierarchy& hierarchy : layout.v1) {
    std::string dir = TRY(v1_dir(hierarchy, request.cgroups_path, request.id, own));
    dirs.emplace_back(hierarchy, std::move(dir));
  }
  LegacyGroup::Options options{std::move(needs), request.rootless, may_do_without, host.proc};
  return std::unique_ptr<Group>(
      std::make_unique<LegacyGroup>(v2_tree(layout, path), std::move(dirs), std::move(options)));
}

Result<std::unique_ptr<Group>> open(const Location& location, const Host& host) {
  return open_in(location, host, TRY(find_layout(host)));
}

Result<std::unique_ptr<Group>> open_in(const Location& location, const Host& host,
                                       const Layout& layout) {
  TRY(check_location(layout, location));
  if (location.driver != "systemd") return open_files(location, host, layout);
  SystemdGroup::Options options{{location.unit, location.slice}, {}, layout.v2_only(), true};
  return systemd_group(location, std::move(options), host, layout);
}

FrozenLook::FrozenLook(const Host& host)
    : host_(host), layout_(find_layout(host).value_or(Layout())) {
  if (layout_.v2_mount.empty()) return;
  Result<Fd> mount = sys::open(At::cwd(), layout_.v2_mount, O_PATH | O_DIRECTORY);
  if (mount) v2_ = *std::move(mount);
}

Result<bool> FrozenLook::is_frozen(const Location& location) const {
  if (!v2_ || location.path.empty()) {
    return TRY(open_in(location, host_, layout_))->is_frozen();
  }
  TRY(check_location(layout_, location));
  std::array<char, 256> buffer{};
  const std::string path = fs::clean(location.path).substr(1) + "/cgroup.events";
  return is_frozen_in(TRY(fs::read_kernel_file(v2_, path, buffer)));
}

Location sub_group(const Location& location, std::string_view sub_path) {
  Location below = location;
  below.driver = "cgroupfs";  // systemd knows nothing of what is inside its unit
  std::string sub = fs::clean("/" + std::string(sub_path));
  if (sub == "/") return below;
  if (!below.path.empty()) below.path = fs::join(below.path, sub);
  for (auto& [hierarchy, dir] : below.paths)
    dir = fs::join(dir, sub);
  return below;
}

Result<std::unique_ptr<Group>> group_of(Pid pid, const Host& host) {
  Layout layout = TRY(find_layout(host));
  std::string file = fs::join(host.proc, std::to_string(pid.value) + "/cgroup");
  std::vector<Membership> lines = parse_membership(TRY(fs::read_file(At::cwd(), file, 1U << 20U)));
  Location location;
  location.driver = "cgroupfs";
  for (const Membership& line : lines) {
    if (line.controllers.empty() && !layout.v2_mount.empty()) {
      location.path = line.path;
      location.paths[""] = fs::join(layout.v2_mount, line.path);
    }
    for (const V1Hierarchy& hierarchy : layout.v1) {
      if (hierarchy.controllers == line.controllers && hierarchy.mount_root == "/") {
        location.paths[hierarchy.name()] = fs::join(hierarchy.mount, line.path);
      }
    }
  }
  TRY(check_location(layout, location));
  return open_files(location, host, layout);
}

Support support(const Host& host) {
  Support found;
  Result<Layout> layout = find_layout(host);
  if (!layout) return found;
  found.v1 = !layout->v1.empty();
  found.v2 = !layout->v2_mount.empty();
  // The mark that systemd itself leaves for this question (sd_booted(3)), and the user manager's.
  found.systemd = sys::stat(At::cwd(), "/run/systemd/system").has_value();
  std::string user = fs::join(host.variable("XDG_RUNTIME_DIR"), "systemd/private");
  found.systemd_user = found.systemd && sys::stat(At::cwd(), user).has_value();
  for (const V1Hierarchy& hierarchy : layout->v1)
    found.rdma |= hierarchy.has("rdma");
  if (found.v2) {
    for (const std::string& word :
         read_words(At::cwd(), fs::join(layout->v2_mount, "cgroup.controllers"))) {
      found.rdma |= word == "rdma";
    }
  }
  return found;
}

}  // namespace vrun::cgroups
