// What each kind of thread of the VMM may ask of the kernel: reviewed data.
//
// A thread holds descriptors; a call is in its list because its part of a device cannot do without.
// Nothing in here makes memory executable, starts a program, opens a path (but `fs`, beneath the
// guest's own root), reaches a network or traces. jail.hpp closes the doors.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace vrun::vmm::jail {

// Whose machine the devices serve.
enum class Engine : std::uint8_t { kKvm, kQemu };

// A call is allowed where the low half of its argument, masked, is `value`. All arguments that are
// looked at are 32 bits wide for the kernel, or the bits in question are in the low half.
struct Call {
  std::uint32_t number;
  const char* why;
  int argument = -1;  // -1: whatever the arguments
  std::uint32_t mask = 0, value = 0;
  bool missing = false;  // fails with ENOSYS: whoever asks has another way
};

struct Kind {
  const char* name;  // of the thread, 15 letters at most
  std::span<const Call> calls;
  bool serves_a_queue = false;     // runs a worker (worker.hpp) and rings the guest
  std::uint32_t capabilities = 0;  // that it keeps, a bit each
  bool opens_files = false;
  bool signals = false;        // brings processors out of the guest
  bool makes_devices = false;  // its threads begin with its list, and narrow it to their own
};

std::span<const Kind> kinds();
// None: nobody has reviewed such a thread.
const Kind* kind_of(std::string_view name);

// Everything that a thread of this kind may call, sorted by number; a call whose arguments count
// is there once for each value.
std::vector<Call> calls_of(const Kind& kind, Engine engine);

// "openat"; empty for numbers that the kernel of the build did not have.
std::string_view call_name(std::uint32_t number);

}  // namespace vrun::vmm::jail
