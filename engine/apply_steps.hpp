// What one step of a plan does, in a process of its own.
#pragma once

#include "base/result.hpp"
#include "engine/apply.hpp"

namespace vrun::engine {

// Waits for what the step's guest depends on, then acts. Network, Secret and Config too.
Result<void> carry_out_step(const Guests& guests, const Wanted& wanted, const PlanStep& step,
                            const ApplyOptions& options);

// Until the guest is well (its probes are good, a job has ended with 0), or the time is over.
Result<void> wait_until_up(const Guests& guests, const WantedGuest& wanted,
                           std::int64_t timeout_ms);

}  // namespace vrun::engine
