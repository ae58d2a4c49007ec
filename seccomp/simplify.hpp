// Makes a program smaller without changing what it decides.
#pragma once

#include "seccomp/library.hpp"

namespace vrun::seccomp {

// The result is proved to decide as `program` for every architecture, call and argument: its own
// decisions are computed and compared. Where that fails, or nothing is gained, `program` is the
// answer.
Program simplify(const Program& program);

}  // namespace vrun::seccomp
