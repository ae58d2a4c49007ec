// Carrying out a plan: each step in a process of its own, in the order of dependencies, some at the
// same time.
//
// Each step by itself is whole or not there, and what it made carries the labels by which the next
// plan knows it: an apply that was killed is finished by the next one.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/apply_plan.hpp"
#include "engine/apply_wanted.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

struct ApplyOptions {
  bool wait = false;                 // until guests are well and jobs have ended
  std::int64_t timeout_ms = 300000;  // for each thing that is waited for
  std::size_t at_once = 8;
};

// `said` hears of each step that is done. All faults at once; steps that depend on a failed one are
// not begun, others are. The caller has called repair() before it made the plan.
Result<void> carry_out(const Guests& guests, const Wanted& wanted, const Plan& plan,
                       const ApplyOptions& options,
                       const std::function<void(const std::string&)>& said);

}  // namespace vrun::engine
