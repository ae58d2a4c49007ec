#include "seccomp/rules.hpp"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>

#include "seccomp/seccomp.hpp"

namespace vrun::seccomp {
namespace {

using ::testing::Contains;
using ::testing::Not;

oci::Seccomp with(oci::SyscallRule rule) {
  return {.default_action = "SCMP_ACT_ERRNO", .syscalls = {std::move(rule)}};
}

std::string fault(const oci::Seccomp& seccomp) {
  const Result<Rules> rules = check(seccomp);
  return rules ? "" : rules.error().text();
}

TEST(SeccompRules, every_action_has_its_number) {
  const auto action = [](const char* name) {
    const oci::Seccomp seccomp{.default_action = "SCMP_ACT_KILL_PROCESS",
                               .listener_path = "/x",
                               .syscalls = {{.names = {"read"}, .action = name}}};
    return check(seccomp)->rules.at(0).action;
  };
  EXPECT_EQ(action("SCMP_ACT_KILL"), SCMP_ACT_KILL_THREAD);
  EXPECT_EQ(action("SCMP_ACT_KILL_THREAD"), SCMP_ACT_KILL_THREAD);
  EXPECT_EQ(action("SCMP_ACT_TRAP"), SCMP_ACT_TRAP);
  EXPECT_EQ(action("SCMP_ACT_ERRNO"), SCMP_ACT_ERRNO(EPERM));
  EXPECT_EQ(action("SCMP_ACT_TRACE"), SCMP_ACT_TRACE(EPERM));
  EXPECT_EQ(action("SCMP_ACT_ALLOW"), SCMP_ACT_ALLOW);
  EXPECT_EQ(action("SCMP_ACT_LOG"), SCMP_ACT_LOG);
  EXPECT_EQ(action("SCMP_ACT_NOTIFY"), SCMP_ACT_NOTIFY);
  EXPECT_EQ(check({.default_action = "SCMP_ACT_KILL_PROCESS"})->default_action,
            SCMP_ACT_KILL_PROCESS);
}

TEST(SeccompRules, an_errno_is_for_errno_and_trace_only) {
  EXPECT_EQ(check(with({.names = {"read"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 38}))
                ->rules.at(0)
                .action,
            SCMP_ACT_ERRNO(38));
  EXPECT_EQ(fault(with({.names = {"read"}, .action = "SCMP_ACT_ALLOW", .errno_ret = 1})),
            "linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_ALLOW takes no errno");
  EXPECT_EQ(fault(with({.names = {"read"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 4096})),
            "linux.seccomp.syscalls[0].errnoRet: 4096 is above 4095, the largest errno");
  EXPECT_EQ(fault({.default_action = "SCMP_ACT_KILL", .default_errno_ret = 1}),
            "linux.seccomp.defaultErrnoRet: SCMP_ACT_KILL takes no errno");
}

TEST(SeccompRules, unknown_names_come_all_at_once_with_the_nearest) {
  const oci::Seccomp seccomp{
      .default_action = "SCMP_ACT_ALOW",
      .architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X64"},
      .flags = {"SECCOMP_FILTER_FLAG_LOGS"},
      .syscalls = {
          {.names = {"read"}, .action = "SCMP_ACT_ERNO"},
          {.names = {"read"}, .action = "SCMP_ACT_LOG", .args = {{6, 0, 0, "SCMP_CMP_QE"}}},
          {.names = {}, .action = "SCMP_ACT_LOG"}}};
  EXPECT_EQ(fault(seccomp),
            "linux.seccomp.defaultAction: 'SCMP_ACT_ALOW' is not a seccomp action, did you mean "
            "'SCMP_ACT_ALLOW'?\n"
            "linux.seccomp.architectures[1]: 'SCMP_ARCH_X64' is not an architecture that "
            "libseccomp knows here, did you mean 'SCMP_ARCH_X86'?\n"
            "linux.seccomp.syscalls[0].action: 'SCMP_ACT_ERNO' is not a seccomp action, did you "
            "mean 'SCMP_ACT_ERRNO'?\n"
            "linux.seccomp.syscalls[1].args[0].op: 'SCMP_CMP_QE' is not a comparison, did you mean "
            "'SCMP_CMP_NE'?\n"
            "linux.seccomp.syscalls[1].args[0].index: 6 is above 5, the last argument\n"
            "linux.seccomp.syscalls[2].names: is empty\n"
            "linux.seccomp.flags[0]: 'SECCOMP_FILTER_FLAG_LOGS' is not a seccomp flag, did you "
            "mean 'SECCOMP_FILTER_FLAG_LOG'?");
}

TEST(SeccompRules, unknown_calls_are_passed_over) {
  const Result<Rules> rules =
      check(with({.names = {"no_such_call", "read"}, .action = "SCMP_ACT_ALLOW"}));
  ASSERT_TRUE(rules);
  EXPECT_EQ(rules->rules.size(), 1U);
}

TEST(SeccompRules, rules_that_repeat_the_default_are_dropped) {
  EXPECT_TRUE(check(with({.names = {"read"}, .action = "SCMP_ACT_ERRNO"}))->rules.empty());
}

TEST(SeccompRules, conditions_on_one_argument_become_rules_of_their_own) {
  const Result<Rules> both =
      check(with({.names = {"read"},
                  .action = "SCMP_ACT_ALLOW",
                  .args = {{0, 1, 0, "SCMP_CMP_EQ"}, {0, 2, 0, "SCMP_CMP_EQ"}}}));
  ASSERT_EQ(both->rules.size(), 2U);
  EXPECT_EQ(both->rules[1].conditions.size(), 1U);
  EXPECT_EQ(both->rules[1].conditions[0].datum_a, 2U);
  const Result<Rules> one =
      check(with({.names = {"read"},
                  .action = "SCMP_ACT_ALLOW",
                  .args = {{0, 1, 0, "SCMP_CMP_EQ"}, {1, 7, 2, "SCMP_CMP_MASKED_EQ"}}}));
  ASSERT_EQ(one->rules.size(), 1U);
  EXPECT_EQ(one->rules[0].conditions[1].datum_b, 2U);
}

TEST(SeccompRules, notify_needs_somewhere_to_go) {
  EXPECT_EQ(fault(with({.names = {"read"}, .action = "SCMP_ACT_NOTIFY"})),
            "linux.seccomp.listenerPath: is needed, since a rule has SCMP_ACT_NOTIFY");
  EXPECT_NE(fault({.default_action = "SCMP_ACT_NOTIFY", .listener_path = "/x"}), "");
  EXPECT_FALSE(check(with({.names = {"no_such_call"}, .action = "SCMP_ACT_NOTIFY"}))->notifies);
}

TEST(SeccompRules, flags_that_need_a_listener_or_threads_are_left_out_without) {
  oci::Seccomp seccomp{
      .default_action = "SCMP_ACT_ALLOW",
      .flags = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}};
  EXPECT_EQ(check(seccomp)->flags, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW);
  seccomp.listener_path = "/x";
  seccomp.syscalls = {{.names = {"read"}, .action = "SCMP_ACT_NOTIFY"}};
  EXPECT_EQ(check(seccomp)->flags, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |
                                       SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
}

TEST(SeccompRules, support_lists_what_is_accepted) {
  const Support all = support();
  EXPECT_EQ(all.actions.size(), 9U);
  EXPECT_EQ(all.operators.size(), 7U);
  EXPECT_THAT(all.archs, Contains("SCMP_ARCH_X32"));
  EXPECT_THAT(all.known_flags, Contains("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"));
}

}  // namespace
}  // namespace vrun::seccomp
