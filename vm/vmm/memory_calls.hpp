// The calls by which the engine looks at the guest's memory and changes it.
//
//   {"call": "memory"}                    what there is
//   {"call": "set-memory", "bytes": N}    the guest shall have N: it gives pages back, or gets them
//
// Both answer {"engine", "bytes", "bootBytes", "reportedBytes", "processors"}: what the guest has
// now, what the machine has, what the guest reported as free in its life, its processors.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "vm/vmm/control.hpp"

namespace vrun::vmm {

// A machine's memory, whoever has the balloon. Called on the control's thread.
struct MachineMemory {
  std::string engine;  // "kvm" or "qemu"
  std::uint64_t boot_bytes = 0;
  std::uint32_t processors = 1;
  std::function<Result<std::uint64_t>()> bytes;
  std::function<std::uint64_t()> reported;
  std::function<Result<void>(std::uint64_t)> resize;
};

void add_memory_calls(std::map<std::string, Control::Call>& calls, MachineMemory memory);

}  // namespace vrun::vmm
