// What the process was told about its host: paths, identity and environment come in as values, so
// that planners can be tested without root and without the real machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/id.hpp"

namespace vrun {

struct Host {
  Uid euid;
  Gid egid;
  std::string proc = "/proc";
  std::string cgroup_root = "/sys/fs/cgroup";
  std::string
      cache_dir;  // compiled seccomp programs (volatile): /run/vrun/cache; per user when rootless
  std::vector<std::string> env;
  std::string runtime_dir;  // /run/vrun, or below XDG_RUNTIME_DIR when rootless
  bool rootless() const { return euid.value != 0; }
  // How many ids our user namespace has, counted from 0, when it is not the machine's own; else 0.
  std::uint32_t nested_ids = 0;
  // Root of a user namespace only: may mount overlays and make namespaces, but has no id-mapped
  // mounts, no devices, no network of the machine, and cgroups only where they are delegated.
  bool nested() const { return nested_ids != 0; }

  // The value of an environment variable; empty when there is none.
  std::string_view variable(std::string_view name) const;

  static Host current();  // reads the real one
};

// How many ids a map (user_namespaces(7), /proc/PID/uid_map) has from 0 on without a gap.
std::uint64_t ids_in_map(std::string_view map);

}  // namespace vrun
