// Statistics of a container whose controllers are bound to v1 hierarchies.
#pragma once

#include <functional>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "cgroups/group.hpp"

namespace vrun::cgroups {

// `directory` answers the descriptor of a v1 controller's directory, or -1. `v2` is the group in
// the v2 tree (pressure, hugetlb), or a descriptor of -1.
Result<Stats> read_legacy_stats(const std::function<int(std::string_view)>& directory, At v2);

}  // namespace vrun::cgroups
