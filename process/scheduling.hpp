// How the process is run: scheduler, I/O priority, processors, memory nodes, personality.
//
// Each check_* function answers the arguments of its step, or records faults.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/faults.hpp"
#include "oci/spec.hpp"
#include "steps/ops.hpp"

namespace vrun::process {

// A list as in cpuset(7), "0-3,8": number n is bit n % 64 of word n / 64. Numbers up to 8191.
std::optional<std::vector<std::uint64_t>> parse_list(std::string_view text);

steps::SchedulerArgs check_scheduler(const oci::Scheduler& scheduler, std::string_view where,
                                     Faults& faults);
steps::IoPriorityArgs check_io_priority(const oci::IoPriority& priority, std::string_view where,
                                        Faults& faults);
std::vector<std::uint64_t> check_cpus(const std::string& list, std::string_view where,
                                      Faults& faults);
struct MemoryPolicyWords {
  std::int32_t mode = 0;
  std::vector<std::uint64_t> nodes;
};
MemoryPolicyWords check_memory_policy(const oci::MemoryPolicy& policy, Faults& faults);
steps::PersonalityArgs check_personality(const oci::Personality& personality, Faults& faults);

}  // namespace vrun::process
