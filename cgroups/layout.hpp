// Which cgroup hierarchies the host has, where they are mounted, and where a container's group
// belongs in each of them.
//
// Plain values read from statfs(2), /proc/self/mountinfo and /proc/self/cgroup; the parsers take
// text, never fail on damaged input (a line that makes no sense is passed over), and need no root.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/host.hpp"
#include "base/id.hpp"
#include "base/result.hpp"

namespace vrun::cgroups {

// One v1 hierarchy: the controllers bound to it and where it is mounted.
struct V1Hierarchy {
  std::vector<std::string> controllers;  // {"cpu", "cpuacct"}; {"name=systemd"} for the named one
  std::string mount;                     // "/sys/fs/cgroup/cpu,cpuacct"
  std::string mount_root = "/";          // which group of the hierarchy the mount shows
  bool has(std::string_view controller) const;
  std::string name() const;  // "cpu,cpuacct", "name=systemd"
};

struct Layout {
  std::string v2_mount;         // empty: no v2 tree
  std::vector<V1Hierarchy> v1;  // empty on a host that is v2 only
  bool v2_only() const { return !v2_mount.empty() && v1.empty(); }
};

// Looks at `host.cgroup_root`. A v2-only host costs one statfs; mountinfo is read on others.
Result<Layout> find_layout(const Host& host);

// Cgroup mounts in mountinfo text. Of several mounts of one hierarchy the first below
// `cgroup_root` counts.
Layout parse_mountinfo(std::string_view text, std::string_view cgroup_root);

// One line of /proc/PID/cgroup.
struct Membership {
  std::vector<std::string> controllers;  // empty: the v2 tree
  std::string path;
};
std::vector<Membership> parse_membership(std::string_view text);
Result<std::vector<Membership>> own_membership(const Host& host);

// The group of the v2 tree below its mount, "/a/b", by runc's rules: an absolute path counts from
// the mount, a relative one from the parent of our own group (which has processes, so that
// controllers could not be enabled below it), an empty one stands for the id.
Result<std::string> v2_path(const std::string& cgroups_path, const ContainerId& id,
                            const std::vector<Membership>& own);

// The directory in a v1 hierarchy: absolute counts from the mount, relative from our own group.
Result<std::string> v1_dir(const V1Hierarchy& hierarchy, const std::string& cgroups_path,
                           const ContainerId& id, const std::vector<Membership>& own);

}  // namespace vrun::cgroups
