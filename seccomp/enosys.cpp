#include "seccomp/enosys.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <map>
#include <optional>

#include <linux/seccomp.h>

namespace vrun::seccomp {
namespace {

constexpr std::uint32_t kX32Bit = 0x40000000;
constexpr std::uint32_t kErrnoEnosys = SECCOMP_RET_ERRNO | ENOSYS;

// The highest numbers named for one value of seccomp_data.arch. x32 shares it with x86_64, its
// numbers have bit 30 set.
struct Highest {
  std::optional<std::uint32_t> plain, x32;
};

bool is_left_alone(std::uint32_t default_action) {
  const std::uint32_t kind = default_action & 0xFFFF0000U;
  return default_action == SCMP_ACT_ALLOW || default_action == SCMP_ACT_LOG ||
         kind == SCMP_ACT_TRACE(0) || default_action == SCMP_ACT_ERRNO(ENOSYS);
}

std::optional<std::uint32_t> highest_named(const oci::Seccomp& seccomp, std::uint32_t arch) {
  int highest = -1;
  for (const oci::SyscallRule& rule : seccomp.syscalls) {
    // below zero are calls of other architectures, and unknown ones
    for (const std::string& name : rule.names)
      highest = std::max(highest, seccomp_syscall_resolve_name_arch(arch, name.c_str()));
  }
  if (highest < 0) return std::nullopt;
  return static_cast<std::uint32_t>(highest);
}

std::map<std::uint32_t, Highest> highest_by_token(const oci::Seccomp& seccomp, const Rules& rules) {
  std::vector<std::uint32_t> archs = rules.architectures;
  archs.push_back(seccomp_arch_native());
  std::map<std::uint32_t, Highest> tokens;
  for (const std::uint32_t arch : archs) {
    if (arch == SCMP_ARCH_X32) {
      tokens[SCMP_ARCH_X86_64].x32 = highest_named(seccomp, arch);
    } else {
      tokens[arch].plain = highest_named(seccomp, arch);  // SCMP_ARCH_* are AUDIT_ARCH_* otherwise
    }
  }
  return tokens;
}

// `ld nr` is done. Falls out at the end where the call is not newer.
void add_comparisons(std::uint32_t token, const Highest& highest, Program& code) {
  if (token == SCMP_ARCH_X86_64) {
    // plain numbers: the next two instructions; those with bit 30: the two after them
    const auto plain = static_cast<std::uint8_t>(highest.plain ? 2 : 0);
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, plain, 0));
    if (highest.plain) {
      const auto past = static_cast<std::uint8_t>(highest.x32 ? 3 : 1);
      code.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, *highest.plain, 0, past));
      code.push_back(BPF_STMT(BPF_RET | BPF_K, kErrnoEnosys));
    } else if (highest.x32) {
      code.back() = BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 2);
    }
    if (!highest.x32) return;
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, *highest.x32, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, kErrnoEnosys));
    return;
  }
  if (!highest.plain) return;
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, *highest.plain, 0, 1));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, kErrnoEnosys));
}

}  // namespace

Program enosys_prelude(const oci::Seccomp& seccomp, const Rules& rules) {
  Program prelude;
  if (is_left_alone(rules.default_action)) return prelude;
  for (const auto& [token, highest] : highest_by_token(seccomp, rules)) {
    if (!highest.plain && !highest.x32) continue;
    Program part{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    add_comparisons(token, highest, part);
    prelude.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
    prelude.push_back(
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, token, 0, static_cast<std::uint8_t>(part.size())));
    prelude.insert(prelude.end(), part.begin(), part.end());
  }
  return prelude;
}

}  // namespace vrun::seccomp
