// libseccomp behind one function: rules in, BPF program out.
//
// What it produces is the reference for what a filter means; later stages only make it smaller.
#pragma once

#include <vector>

#include <linux/filter.h>

#include "base/result.hpp"
#include "seccomp/rules.hpp"

namespace vrun::seccomp {

using Program = std::vector<sock_filter>;

Result<Program> build_with_libseccomp(const Rules& rules);

}  // namespace vrun::seccomp
