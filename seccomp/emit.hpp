// From decisions back to a program, as a balanced search over ranges of call numbers.
//
// libseccomp emits a comparison for each system call; most of a profile is "allow" for long runs of
// numbers, which need one comparison a run. Fewer instructions mean less work for the kernel when
// the filter is loaded (check, translation to machine code, and a dry run for each call number).
#pragma once

#include "seccomp/decisions.hpp"

namespace vrun::seccomp {

Program emit(const Decisions& decisions, Nodes& nodes);

}  // namespace vrun::seccomp
