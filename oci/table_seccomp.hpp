// JSON tables of `linux.seccomp` (config-linux.md of runtime-spec 1.3). The names are checked here;
// what they do belongs to seccomp/.
#pragma once

#include "base/json_table.hpp"
#include "oci/spec.hpp"

namespace vrun::oci {

inline constexpr std::string_view kSeccompActions[] = {
    "SCMP_ACT_ALLOW",        "SCMP_ACT_ERRNO",       "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",       "SCMP_ACT_TRACE",       "SCMP_ACT_TRAP"};
inline constexpr std::string_view kSeccompOperators[] = {
    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",       "SCMP_CMP_LE",
    "SCMP_CMP_LT", "SCMP_CMP_NE", "SCMP_CMP_MASKED_EQ"};
inline constexpr std::string_view kSeccompArchitectures[] = {
    "SCMP_ARCH_X86",     "SCMP_ARCH_X86_64",   "SCMP_ARCH_X32",         "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",  "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",   "SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",        "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",  "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",     "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",    "SCMP_ARCH_SH",       "SCMP_ARCH_SHEB"};
inline constexpr std::string_view kSeccompFlags[] = {
    "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};

constexpr auto json_fields(const SyscallArg*) {
  return json::fields(
      json::field("index", &SyscallArg::index, {.max = 5, .required = true}),
      json::field("value", &SyscallArg::value, {.required = true}),
      json::field("valueTwo", &SyscallArg::value_two),
      json::field("op", &SyscallArg::op, {.names = kSeccompOperators, .required = true}));
}

constexpr auto json_fields(const SyscallRule*) {
  return json::fields(
      json::field("names", &SyscallRule::names, {.required = true, .non_empty = true}),
      json::field("action", &SyscallRule::action, {.names = kSeccompActions, .required = true}),
      json::field("errnoRet", &SyscallRule::errno_ret), json::field("args", &SyscallRule::args));
}

constexpr auto json_fields(const Seccomp*) {
  return json::fields(
      json::field("defaultAction", &Seccomp::default_action,
                  {.names = kSeccompActions, .required = true}),
      json::field("defaultErrnoRet", &Seccomp::default_errno_ret),
      json::field("architectures", &Seccomp::architectures, {.names = kSeccompArchitectures}),
      json::field("flags", &Seccomp::flags, {.names = kSeccompFlags}),
      json::field("listenerPath", &Seccomp::listener_path),
      json::field("listenerMetadata", &Seccomp::listener_metadata),
      json::field("syscalls", &Seccomp::syscalls));
}

}  // namespace vrun::oci
