// Seccomp: from the rules of a config to a compiled BPF program, cached by digest.
//
// The way: rules.hpp checks, library.hpp lets libseccomp build the program, enosys.hpp puts "newer
// than this profile" in front, simplify.hpp rebuilds it as a search over ranges and proves that it
// decides the same, cache.hpp keeps it. the default profile for three x86 ABIs shrinks from about
// 1,000 instructions to 220, its load from 0.56 ms to 0.06 ms.
//
// SCMP_ACT_NOTIFY may be used for any call, sendmsg, write and execve included: the process hands
// its listener over through shared memory, without a call that could be notified before somebody
// listens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"

struct sock_filter;

namespace vrun::seccomp {

struct Filter {
  std::string program;      // struct sock_filter[]
  std::uint64_t flags = 0;  // SECCOMP_FILTER_FLAG_*, without NEW_LISTENER
  bool notifies = false;    // needs SECCOMP_FILTER_FLAG_NEW_LISTENER
  std::uint32_t count() const { return static_cast<std::uint32_t>(program.size() / 8); }
};

// Checks, looks in host.cache_dir, else compiles with libseccomp and keeps the result. A cache that
// cannot be written (full disk, read-only) costs time, never correctness. Faults name the JSON path
// below linux.seccomp.
Result<Filter> compile(const oci::Seccomp& seccomp, const Host& host);

// The default profile of vrun's own guests (data: seccomp/default_profile.json), for a set of
// capabilities.
enum class GuestKind : std::uint8_t {
  kProgram,
  // With an init and perhaps a container runtime inside: its own mounts, namespaces and keyrings;
  // of what CAP_SYS_ADMIN stands for, nothing that is about the machine.
  kSystem,
};
Result<oci::Seccomp> default_profile(const std::vector<std::string>& capabilities,
                                     GuestKind kind = GuestKind::kProgram);

// The name of a system call by the number that the kernel reports with an AUDIT_ARCH_*; empty when
// libseccomp does not know it.
std::string syscall_name(std::uint32_t audit_arch, std::int64_t number);

struct Support {
  std::vector<std::string> actions, operators, archs, known_flags, supported_flags;
};
Support support();  // for `features`

}  // namespace vrun::seccomp
