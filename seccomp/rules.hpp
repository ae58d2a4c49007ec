// linux.seccomp checked and turned into numbers that libseccomp understands.
//
// An unknown action, operator, architecture or flag is a fault with its JSON path and the nearest
// name. One thing is passed over on purpose, as the specification's users expect: the name of a
// system call that neither this libseccomp nor any architecture knows. Engines ship one list for
// all kernels, and the call stays under the default action. Such names go to the debug log.
#pragma once

#include <cstdint>
#include <vector>

#include <seccomp.h>

#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::seccomp {

struct Rule {
  int syscall = 0;
  std::uint32_t action = 0;
  std::vector<scmp_arg_cmp> conditions;  // all must hold
  std::size_t source = 0;                // index in linux.seccomp.syscalls
};

struct Rules {
  std::uint32_t default_action = 0;
  std::vector<std::uint32_t> architectures;  // besides the native one
  std::uint64_t flags = 0;                   // SECCOMP_FILTER_FLAG_* that matter for one thread
  std::vector<Rule> rules;
  bool notifies = false;
};

Result<Rules> check(const oci::Seccomp& seccomp);

}  // namespace vrun::seccomp
