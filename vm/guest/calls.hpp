// Questions and small orders of the host (kCall).
//
//   info          {"kernel", "processors", "memory", "uptimeMilliseconds"}
//   stats         {"memory": {"total", "free", "available"}, "cpu": {"total", "idle"} in USER_HZ}
//   set-clock     the guest's time of day is {"seconds", "nanoseconds"} since 1970
//   power-off     answered, then the machine goes off
#pragma once

#include <string>

#include "base/result.hpp"
#include "vm/guest/request.hpp"

namespace vrun::vm {

// The content of kAnswer. `booted`: the machine is the agent's own; otherwise the host's clock and
// power are left alone (kUnsupported).
// Processes that the kernel has killed for want of memory since it began (proc(5), vmstat).
std::uint32_t memory_kills();

Result<std::string> answer(const CallRequest& request, bool booted);

}  // namespace vrun::vm
