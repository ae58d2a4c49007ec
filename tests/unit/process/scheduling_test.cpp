#include "process/scheduling.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/limits_child.hpp"
#include "process/plan.hpp"
#include "tests/unit/process/in_child.hpp"

namespace vrun::process {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string faults_of(const Faults& faults) {
  const Result<void> result = faults.result();
  return result ? "" : result.error().text();
}

TEST(Lists, become_bits) {
  EXPECT_THAT(*parse_list("0"), ElementsAre(1U));
  EXPECT_THAT(*parse_list("0-3,8\n"), ElementsAre(0x10fU));
  EXPECT_THAT(*parse_list("1, 64-65"), ElementsAre(2U, 3U));
}

TEST(Lists, that_make_no_sense_are_refused) {
  for (const char* text :
       {"", "a", "3-1", "1-", "-1", "0-9999", "1,,2", "1-2-3", "99999999999999999999"})
    EXPECT_FALSE(parse_list(text)) << text;
}

TEST(Scheduling, fifo_needs_a_priority) {
  Faults faults;
  const auto args = check_scheduler(
      {.policy = "SCHED_FIFO", .priority = 10, .flags = {"SCHED_FLAG_RESET_ON_FORK"}},
      "process.scheduler", faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(args.policy, static_cast<unsigned>(SCHED_FIFO));
  EXPECT_EQ(args.priority, 10U);
  EXPECT_EQ(args.flags, 1U);
  (void)check_scheduler({.policy = "SCHED_FIFO"}, "process.scheduler", faults);
  EXPECT_EQ(faults_of(faults), "process.scheduler.priority: 0 is not in 1..99");
}

TEST(Scheduling, faults_name_the_key) {
  Faults faults;
  (void)check_scheduler({.policy = "SCHED_FIF"}, "process.scheduler", faults);
  (void)check_scheduler(
      {.policy = "SCHED_OTHER", .nice = 20, .priority = 1, .flags = {"X"}, .runtime = 1},
      "process.scheduler", faults);
  EXPECT_EQ(faults_of(faults),
            "process.scheduler.policy: 'SCHED_FIF' is not a scheduling policy, did you mean "
            "'SCHED_FIFO'?\n"
            "process.scheduler.flags[0]: 'X' is not a scheduler flag\n"
            "process.scheduler.nice: 20 is not in -20..19\n"
            "process.scheduler.priority: SCHED_OTHER has no priority, only SCHED_FIFO and SCHED_RR "
            "have\n"
            "process.scheduler: runtime, deadline and period need the policy SCHED_DEADLINE, not "
            "SCHED_OTHER");
}

TEST(Scheduling, deadline_needs_runtime_deadline_period_in_order) {
  Faults faults;
  const auto args = check_scheduler(
      {.policy = "SCHED_DEADLINE", .runtime = 10000, .deadline = 20000, .period = 30000}, "s",
      faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(args.deadline, 20000U);
  (void)check_scheduler({.policy = "SCHED_DEADLINE", .runtime = 30000, .deadline = 20000}, "s",
                        faults);
  EXPECT_THAT(faults_of(faults), HasSubstr("runtime <= deadline <= period"));
}

TEST(Scheduling, io_priority_is_class_and_level) {
  Faults faults;
  EXPECT_EQ(check_io_priority({"IOPRIO_CLASS_BE", 4}, "p", faults).value, (2 << 13) | 4);
  EXPECT_TRUE(faults.empty());
  (void)check_io_priority({"IOPRIO_CLASS_B", 8}, "p", faults);
  EXPECT_EQ(faults_of(faults),
            "p.class: 'IOPRIO_CLASS_B' is not an I/O priority class, did you mean "
            "'IOPRIO_CLASS_BE'?\np.priority: 8 is not in 0..7");
}

TEST(Scheduling, memory_policies_take_what_their_mode_allows) {
  Faults faults;
  const auto bind = check_memory_policy(
      {.mode = "MPOL_BIND", .nodes = "0-1", .flags = {"MPOL_F_STATIC_NODES"}}, faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(bind.mode, 2 | (1 << 15));
  EXPECT_THAT(bind.nodes, ElementsAre(3U));
  (void)check_memory_policy({.mode = "MPOL_DEFAULT", .nodes = "0"}, faults);
  (void)check_memory_policy({.mode = "MPOL_BIND"}, faults);
  (void)check_memory_policy({.mode = "MPOL_BINT", .nodes = ""}, faults);
  (void)check_memory_policy({.mode = "MPOL_PREFERRED",
                             .nodes = "x",
                             .flags = {"MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"}},
                            faults);
  EXPECT_EQ(faults_of(faults),
            "linux.memoryPolicy.nodes: MPOL_DEFAULT takes no nodes\n"
            "linux.memoryPolicy.nodes: MPOL_BIND needs nodes\n"
            "linux.memoryPolicy.mode: 'MPOL_BINT' is not a memory policy, did you mean "
            "'MPOL_BIND'?\n"
            "linux.memoryPolicy.nodes: 'x' is not a list of nodes like '0-3,7'\n"
            "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each "
            "other");
}

TEST(Scheduling, personality_knows_two_domains_and_no_flags) {
  Faults faults;
  EXPECT_EQ(check_personality({"LINUX32", {}}, faults).value, 8U);
  EXPECT_TRUE(faults.empty());
  (void)check_personality({"LINUX64", {"X"}}, faults);
  EXPECT_THAT(faults_of(faults), HasSubstr("linux.personality.domain: 'LINUX64' is not"));
  EXPECT_THAT(faults_of(faults), HasSubstr("linux.personality.flags[0]: 'X' is not a flag"));
}

TEST(Scheduling, the_child_applies_what_needs_no_privilege) {
  const int status = in_child([] {
    steps::Context context{};
    if (scheduler(context, {.policy = SCHED_BATCH,
                            .flags = 0,
                            .nice = 5,
                            .priority = 0,
                            .runtime = 0,
                            .deadline = 0,
                            .period = 0}) != 0)
      return 1;
    if (::sched_getscheduler(0) != SCHED_BATCH || ::getpriority(PRIO_PROCESS, 0) != 5) return 2;
    if (io_priority(context, {(2 << 13) | 7}) != 0) return 3;
    if (::syscall(SYS_ioprio_get, 1, 0) != ((2 << 13) | 7)) return 4;
    const std::uint64_t first = 1;
    if (affinity(context, {{&first, 1}}) != 0) return 5;
    cpu_set_t now;
    ::sched_getaffinity(0, sizeof(now), &now);
    if (CPU_COUNT(&now) != 1 || !CPU_ISSET(0, &now)) return 6;
    if (personality(context, {PER_LINUX32}) != 0) return 7;
    if (::personality(0xffffffff) != PER_LINUX32) return 8;
    umask(context, {0077});
    return ::umask(0) == 0077 ? 0 : 9;
  });
  EXPECT_EQ(status, 0);
}

TEST(Scheduling, the_child_sets_the_memory_policy) {
  const int status = in_child([] {
    steps::Context context{};
    const std::uint64_t first = 1;
    const long result = memory_policy(context, {2, {&first, 1}});
    if (result == -ENOSYS) return 77;
    if (result != 0) return 1;
    int mode = 0;
    if (::syscall(SYS_get_mempolicy, &mode, nullptr, 0, nullptr, 0) != 0 || mode != 2) return 2;
    return memory_policy(context, {0, {nullptr, 0}}) == 0 ? 0 : 3;
  });
  if (status == 77) GTEST_SKIP() << "kernel without NUMA";
  EXPECT_EQ(status, 0);
}

TEST(Scheduling, the_initial_affinity_is_the_callers) {
  const int status = in_child([] {
    oci::Process process;
    process.exec_cpu_affinity = oci::CpuAffinity{"0", ""};
    if (!set_initial_affinity(process, "process")) return 1;
    cpu_set_t now;
    ::sched_getaffinity(0, sizeof(now), &now);
    if (CPU_COUNT(&now) != 1) return 2;
    process.exec_cpu_affinity->initial = "8000";
    const Result<void> far = set_initial_affinity(process, "process");
    return !far && far.error().where() == "process.execCPUAffinity.initial" ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace vrun::process
