// Resource limits and scheduling of the calling process (the inside half of limits and scheduling).
#pragma once

#include "steps/child.hpp"

namespace vrun::process {

long rlimits(steps::Context& context, const steps::RlimitsArgs& args);
long scheduler(steps::Context& context, const steps::SchedulerArgs& args);
long io_priority(steps::Context& context, const steps::IoPriorityArgs& args);
long affinity(steps::Context& context, const steps::AffinityArgs& args);
long memory_policy(steps::Context& context, const steps::MemoryPolicyArgs& args);
long personality(steps::Context& context, const steps::PersonalityArgs& args);
long umask(steps::Context& context, const steps::UmaskArgs& args);

}  // namespace vrun::process
