// For what system call a seccomp filter killed a process: the kernel's audit record (type=1326)
// says it, in the kernel's log or, where an audit daemon takes the records, in its file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/id.hpp"

namespace vrun::engine {

struct SeccompRecord {
  std::uint32_t arch = 0;  // AUDIT_ARCH_*
  std::int64_t call = 0;
  bool operator==(const SeccompRecord&) const = default;
};
// Of one line, when it is the record of that process's death.
std::optional<SeccompRecord> parse_seccomp_record(std::string_view line, Pid pid);

// "mkdir", or "number 500" where libseccomp has no name for it; empty when no record is found. The
// kernel writes the record a little after the death: waits for it up to half a second.
std::string killed_for(Pid pid);

}  // namespace vrun::engine
