// The limits of a config in the words of cgroup v2.
//
// Numbers are taken as runc takes them: 0 is "not set" and -1 is "unlimited" for memory, cpu and
// weights. What v2 has no word for (swappiness, the OOM killer switch, TCP buffers, real-time
// budgets, network classes and priorities, leaf weights) is an error when it asks for something.
// memory.kernel alone is passed over with a warning: the specification deprecates it, no kernel
// since 5.16 enforces it, and engines still send it.
#pragma once

#include <vector>

#include "cgroups/knob.hpp"

namespace vrun::cgroups {

// All writes but those of `unified`, in order. `read` answers present values of the group.
Result<std::vector<Write>> unified_writes(const oci::Resources& resources, const Reader& read);

// The writes of the map linux.resources.unified: one for each line of a value.
Result<std::vector<Write>> unified_map_writes(const oci::Resources& resources);

}  // namespace vrun::cgroups
