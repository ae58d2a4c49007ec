// From the table of a kind of thread to the program that the kernel runs at each of its calls.
#pragma once

#include <span>

#include "seccomp/library.hpp"
#include "vm/vmm/jail_table.hpp"

namespace vrun::vmm::jail {

// `calls` sorted by number. Allowed calls pass. The others, and all of another architecture than
// x86_64 (x32 and 32 bits included), are answered with `refusal` (SECCOMP_RET_*).
seccomp::Program program_of(std::span<const Call> calls, std::uint32_t refusal);

}  // namespace vrun::vmm::jail
