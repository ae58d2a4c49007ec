// What the process was told about its host: paths, identity and environment come in as values, so
// that planners can be tested without root and without the real machine.
#pragma once

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

  // The value of an environment variable; empty when there is none.
  std::string_view variable(std::string_view name) const;

  static Host current();  // reads the real one
};

}  // namespace vrun
