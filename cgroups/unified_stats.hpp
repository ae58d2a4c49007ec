// Statistics of a group in the cgroup v2 tree.
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "cgroups/group.hpp"

namespace vrun::cgroups {

// Reads what is there below `dir`; a controller that is not enabled leaves its part absent. An
// error only if the group itself is gone.
Result<Stats> read_unified_stats(At dir);

// The hugetlb part alone: it may be the only controller in the v2 tree.
std::map<std::string, HugetlbStats> read_unified_hugetlb(At dir);

// Pressure of one resource ("cpu"), where the kernel offers it.
std::optional<PressureStall> read_pressure(At dir, const std::string& resource);

}  // namespace vrun::cgroups
