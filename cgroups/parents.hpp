// What a limit on a group means for the groups below it, on this host.
#pragma once

#include <string>
#include <vector>

#include "base/host.hpp"
#include "oci/spec.hpp"

namespace vrun::cgroups {

// A limit that a parent group cannot hold for all groups below it together.
struct NotShared {
  std::string where;  // "linux.resources.memory.limit"
  std::string why;
};
std::vector<NotShared> not_shared(const oci::Resources& limits, const Host& host);

// True where the kernel refuses a cpu quota above the parent's (EINVAL) instead of taking the
// smaller one.
bool quota_must_fit_parent(const Host& host);

}  // namespace vrun::cgroups
