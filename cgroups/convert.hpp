// The number formulas between the words of the OCI specification (v1) and those of cgroup v2.
// They are runc's, so that the same config gives the same limits under both runtimes.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace vrun::cgroups {

// [2, 262144] with default 1024 to [1, 10000] with default 100, by the quadratic fit that runc
// uses since 1.4 and crun since 1.23 (the linear map before turned 1024 into 39). 0: 0.
std::uint64_t weight_from_shares(std::uint64_t shares);

// The inverse: the least shares that give a weight of [1, 10000].
std::uint64_t shares_from_weight(std::uint64_t weight);

// [10, 1000] to [1, 10000], linear.
std::uint64_t io_weight_from_blkio(std::uint64_t weight);

// memory.swap.max from a v1 limit of memory plus swap. Both may be -1 for unlimited.
Result<std::string> swap_max(std::int64_t memory_and_swap, std::int64_t memory);

// "max" for negative numbers.
std::string limit_text(std::int64_t limit);

}  // namespace vrun::cgroups
