#include "seccomp/enosys.hpp"

#include <cerrno>

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include "base/host.hpp"
#include "seccomp/seccomp.hpp"
#include "tests/unit/seccomp/bpf_run.hpp"

namespace vrun::seccomp {
namespace {

constexpr std::uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;
constexpr std::uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM;

oci::Seccomp listing(const std::string& default_action) {
  return {.default_action = default_action,
          .architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"},
          .syscalls = {{.names = {"read", "openat2", "no_such_call"}, .action = "SCMP_ACT_ALLOW"}}};
}

Program compiled(const oci::Seccomp& seccomp) {
  const Result<Filter> filter = compile(seccomp, Host{});
  if (!filter) ADD_FAILURE() << filter.error().text();
  return program_of(filter->program);
}

TEST(Enosys, is_for_calls_above_the_highest_that_is_named) {
  const Program program = compiled(listing("SCMP_ACT_ERRNO"));
  for (const std::uint32_t arch :
       {std::uint32_t{AUDIT_ARCH_X86_64}, std::uint32_t{AUDIT_ARCH_I386}}) {
    // openat2 has number 437 everywhere
    EXPECT_EQ(verdict(program, {arch, 437}), SECCOMP_RET_ALLOW);
    EXPECT_EQ(verdict(program, {arch, 436}), kEperm);
    EXPECT_EQ(verdict(program, {arch, 438}), kEnosys);
  }
  EXPECT_EQ(verdict(program, {AUDIT_ARCH_X86_64, 0x40000000U | 437}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(program, {AUDIT_ARCH_X86_64, 0x40000000U | 436}), kEperm);
  EXPECT_EQ(verdict(program, {AUDIT_ARCH_X86_64, 0x40000000U | 438}), kEnosys);
  EXPECT_EQ(verdict(program, {AUDIT_ARCH_X86_64, 0xffffffffU}), kEnosys);
}

TEST(Enosys, leaves_abis_alone_that_the_profile_does_not_name) {
  oci::Seccomp seccomp = listing("SCMP_ACT_ERRNO");
  seccomp.architectures = {"SCMP_ARCH_X86_64"};
  const Program program = compiled(seccomp);
  EXPECT_EQ(verdict(program, {AUDIT_ARCH_X86_64, 438}), kEnosys);
  EXPECT_EQ(verdict(program, {AUDIT_ARCH_I386, 438}), SECCOMP_RET_KILL_THREAD);
  EXPECT_EQ(verdict(program, {AUDIT_ARCH_X86_64, 0x40000000U | 438}), SECCOMP_RET_KILL_THREAD);
}

TEST(Enosys, is_for_killing_profiles_too) {
  EXPECT_EQ(verdict(compiled(listing("SCMP_ACT_KILL_PROCESS")), {AUDIT_ARCH_X86_64, 438}), kEnosys);
}

TEST(Enosys, leaves_permissive_profiles_alone) {
  for (const char* action : {"SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"}) {
    oci::Seccomp seccomp = listing(action);
    seccomp.syscalls[0].action = "SCMP_ACT_TRAP";
    const Result<Rules> rules = check(seccomp);
    ASSERT_TRUE(rules);
    EXPECT_TRUE(enosys_prelude(seccomp, *rules).empty()) << action;
  }
}

TEST(Enosys, leaves_profiles_alone_that_say_so_themselves_or_name_nothing) {
  oci::Seccomp seccomp = listing("SCMP_ACT_ERRNO");
  seccomp.default_errno_ret = ENOSYS;
  EXPECT_TRUE(enosys_prelude(seccomp, *check(seccomp)).empty());
  const oci::Seccomp nothing{.default_action = "SCMP_ACT_ERRNO"};
  EXPECT_TRUE(enosys_prelude(nothing, *check(nothing)).empty());
}

}  // namespace
}  // namespace vrun::seccomp
