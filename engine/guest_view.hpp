// A guest's own view of the machine (--view limits): its limits in /proc, /sys/devices/system/cpu,
// sysinfo(2) and sched_getaffinity(2). Served by vrun-view (engine/view/), which ends with the
// guest.
#pragma once

#include <string>

#include "base/id.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/request.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

Result<void> check_view(const RunRequest& request);

// Asked for by --view, or by default: system guests have it, application containers see the host's
// numbers; so do guests of a nested vrun, whose seccomp listener the guest around them has.
bool has_view(const RunRequest& request, const Host& host);

// What the view needs in the specification: the two system calls are notified, and the clock of the
// boot begins with the guest. `state_dir`: the runtime's folder of this guest.
Result<void> add_view(oci::Spec& spec, const std::string& state_dir);

// Between the making of the guest and the begin of its program.
Result<void> start_view(const Guests& guests, const GuestRecord& record, const oci::Spec& spec,
                        Pid pid);

}  // namespace vrun::engine
