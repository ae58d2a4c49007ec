// process.rlimits: names, checks, and the two places where they are applied.
//
// The caller raises hard limits from outside (raise_hard_limits in plan.hpp), the stage sets the
// exact values itself. RLIMIT_NOFILE below kFewDescriptors is set only after the gate, because
// answering at the gate needs descriptors.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/faults.hpp"
#include "oci/spec.hpp"
#include "steps/ops.hpp"

namespace vrun::process {

inline constexpr std::uint64_t kFewDescriptors = 64;

// One entry for each of process.rlimits, in the same order; on faults the list is useless.
std::vector<steps::RlimitEntry> check_rlimits(const oci::Process& process, std::string_view where,
                                              Faults& faults);
// Must this one wait until the gate has been passed?
bool is_late(const steps::RlimitEntry& limit);

}  // namespace vrun::process
