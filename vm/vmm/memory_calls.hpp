// The calls by which the engine looks at the guest's memory and changes it.
//
//   {"call": "memory"}                    what there is
//   {"call": "set-memory", "bytes": N}    the guest shall have N: it gives pages back, or gets them
//
// Both answer {"bytes", "bootBytes", "reportedBytes", "processors"}: what the guest has now, what
// the machine has, what the guest reported as free in its life, its processors.
#pragma once

#include <map>
#include <string>

#include "vm/vmm/balloon.hpp"
#include "vm/vmm/control.hpp"

namespace vrun::vmm {

void add_memory_calls(std::map<std::string, Control::Call>& calls, Balloon& balloon,
                      std::uint64_t boot_bytes, std::uint32_t processors);

// The same for a machine whose memory cannot be changed: "set-memory" is kUnsupported.
void add_fixed_memory_calls(std::map<std::string, Control::Call>& calls, std::uint64_t boot_bytes,
                            std::uint32_t processors);

}  // namespace vrun::vmm
