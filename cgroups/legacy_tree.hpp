// The directories of one container in the v1 hierarchies of a host.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "cgroups/layout.hpp"

namespace vrun::cgroups {

// One container's directory in one v1 hierarchy.
class LegacyDir {
 public:
  LegacyDir(V1Hierarchy hierarchy, std::string dir);

  const V1Hierarchy& hierarchy() const { return hierarchy_; }
  const std::string& dir() const { return dir_; }

  // Makes the directory and those above it that are missing; each new level of a cpuset gets the
  // cpus and nodes of the level above (the kernel leaves them empty, and then nobody may join).
  // A directory with processes in it is an error.
  Result<void> create();
  Result<void> adopt();  // the same, but may be there with processes in it
  void undo_create();    // removes what create() made, as long as it is empty
  Result<int> fd() const;
  // Does /proc/PID/cgroup say that a process is in here already?
  bool holds(const std::vector<Membership>& membership) const;
  Result<void> join(Pid pid) const;
  Result<std::vector<Pid>> processes() const;  // of the whole subtree
  Result<void> destroy();                      // kills what is left, removes sub-groups first

 private:
  Result<void> make_levels();
  Result<void> made(const std::string& level);

  V1Hierarchy hierarchy_;
  std::string dir_;
  mutable Fd fd_;
  std::vector<std::string> made_;
};

}  // namespace vrun::cgroups
