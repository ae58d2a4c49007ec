// Questions and small orders of the host (kCall).
//
//   info          {"kernel", "processors", "memory", "uptimeMilliseconds"}
//   stats         {"memory": {"total", "free", "available"}, "cpu": {"total", "idle"} in USER_HZ,
//                 "processes" of the guest}
//   processes     {"processes": [{"status", "stat", "commandLine"}]}: of proc(5), what is shown
//   accounts      {"passwd", "group"}: the texts of /etc/passwd and /etc/group, empty without one
//   set-clock     the guest's time of day is {"seconds", "nanoseconds"} since 1970
//   probe         {"fault"}: what the guest's loopback says at {"http", "port", "path"}, empty: all
//                 is well; the connection ends without an answer after {"milliseconds"}
//   add-card      {"network"} as of kRun: a network card that was plugged in is configured
//   way-out       {"network"}: its gateways lead out from now on
//   freeze        the guest stands still until the connection ends (vm snapshots)
//   power-off     answered, then the machine goes off
#pragma once

#include <string>

#include "base/result.hpp"
#include "vm/guest/request.hpp"
#include "vm/guest/session.hpp"

namespace vrun::vm {

// Processes that the kernel has killed for want of memory since it began (proc(5), vmstat).
std::uint32_t memory_kills();

// The content of kAnswer. Where the machine is not the agent's own (settings.booted), its clock and
// power are left alone (kUnsupported).
Result<std::string> answer(const CallRequest& request, const Settings& settings);

}  // namespace vrun::vm
