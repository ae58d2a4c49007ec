#include "process/plan.hpp"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/process/fake_proc.hpp"

namespace vrun::process {
namespace {

using ::testing::HasSubstr;

oci::Process typical() {
  oci::Process process;
  process.args = {"sh", "-c", "true"};
  process.env = {"PATH=/bin:/usr/bin"};
  process.cwd = "/work";
  process.user.uid = Uid(1000);
  process.user.gid = Gid(1001);
  process.user.additional_gids = {Gid(5), Gid(6)};
  process.rlimits = {{"RLIMIT_NOFILE", 3, 1024}, {"RLIMIT_CORE", 0, 0}};
  process.capabilities = oci::Capabilities{
      .bounding = {"CAP_KILL"}, .effective = {"CAP_KILL"}, .permitted = {"CAP_KILL"}};
  return process;
}

steps::Builder new_builder() {
  Result<steps::Builder> builder = steps::Builder::create();
  return *std::move(builder);
}

struct Planned {
  std::string before, after;
};

Result<Planned> plan(const oci::Process& process, const Options& options) {
  const FakeProc proc;
  steps::Builder builder = new_builder();
  const Grantable grantable = TRY(plan_before_gate(process, options, proc.host(), builder));
  const std::string before = builder.dump();
  TRY(plan_exec(process, options, grantable, builder));
  return Planned{before, builder.dump().substr(before.size())};
}

seccomp::Filter small_filter() {
  return {std::string(16, '\0'), 2, false};
}

TEST(Plan, golden_before_the_gate) {
  const Result<Planned> planned = plan(typical(), {});
  ASSERT_TRUE(planned) << planned.error().text();
  EXPECT_EQ(planned->before,
            "find HOME of uid 1000  (process.env)\n"
            "set umask 022  (process.user.umask)\n"
            "change directory to /work  (process.cwd)\n"
            "set rlimits 4=0:0  (process.rlimits[1])\n"
            "limit the capability bounding set to 0x20  (process.capabilities.bounding)\n"
            "set credentials uid 1000 gid 1001 groups 5 6  (process.user)\n"
            "change directory to /work  (process.cwd)\n"
            "find program 'sh' '-c' 'true'  (process.args[0])\n");
}

TEST(Plan, without_no_new_privs_the_filter_comes_before_the_final_sets) {
  const seccomp::Filter filter = small_filter();
  const Result<Planned> planned = plan(typical(), {.filter = &filter});
  ASSERT_TRUE(planned) << planned.error().text();
  EXPECT_EQ(planned->after,
            "set rlimits 7=3:1024  (process.rlimits[0])\n"
            "reset signals\n"
            "close descriptors from 3\n"
            "load seccomp filter 2 instructions, flags 0x2  (linux.seccomp)\n"
            "set capabilities bounding 0x20 effective 0x20 permitted 0x20 inheritable 0x0 ambient "
            "0x0  (process.capabilities)\n"
            "exec 'sh' '-c' 'true'  (process.args[0])\n");
}

TEST(Plan, with_no_new_privs_the_filter_comes_last) {
  oci::Process process = typical();
  process.no_new_privileges = true;
  const seccomp::Filter filter = small_filter();
  const Result<Planned> planned = plan(process, {.filter = &filter, .preserve_fds = 2});
  ASSERT_TRUE(planned) << planned.error().text();
  EXPECT_EQ(planned->after,
            "set rlimits 7=3:1024  (process.rlimits[0])\n"
            "reset signals\n"
            "close descriptors from 5\n"
            "set no_new_privs  (process.noNewPrivileges)\n"
            "set capabilities bounding 0x20 effective 0x20 permitted 0x20 inheritable 0x0 ambient "
            "0x0  (process.capabilities)\n"
            "load seccomp filter 2 instructions, flags 0x2  (linux.seccomp)\n"
            "exec 'sh' '-c' 'true'  (process.args[0])\n");
}

TEST(Plan, a_listener_adds_its_flag) {
  seccomp::Filter filter = small_filter();
  filter.notifies = true;
  const Result<Planned> planned = plan(typical(), {.filter = &filter});
  ASSERT_TRUE(planned) << planned.error().text();
  EXPECT_THAT(planned->after, HasSubstr("2 instructions, flags 0xa"));
}

TEST(Plan, golden_with_everything) {
  oci::Process process = typical();
  process.env.emplace_back("HOME=/here");
  process.rlimits.clear();
  process.user.umask = 077;
  process.scheduler = oci::Scheduler{.policy = "SCHED_BATCH", .nice = 3};
  process.io_priority = oci::IoPriority{"IOPRIO_CLASS_IDLE", 0};
  process.exec_cpu_affinity = oci::CpuAffinity{"", "0-1"};
  process.apparmor_profile = "unconfined";
  const oci::MemoryPolicy memory{.mode = "MPOL_INTERLEAVE", .nodes = "0"};
  const oci::Personality personality{"LINUX32", {}};
  const Result<Planned> planned = plan(process, {.cwd_before_user = false,
                                                 .exec = true,
                                                 .memory_policy = &memory,
                                                 .personality = &personality});
  ASSERT_TRUE(planned) << planned.error().text();
  EXPECT_EQ(planned->before,
            "set cpu affinity 0x3  (process.execCPUAffinity.final)\n"
            "set scheduler policy 3 nice 3 priority 0  (process.scheduler)\n"
            "set io priority 0x6000  (process.ioPriority)\n"
            "set memory policy 0x3 0x1  (linux.memoryPolicy)\n"
            "set personality 0x8  (linux.personality)\n"
            "set umask 077  (process.user.umask)\n"
            "limit the capability bounding set to 0x20  (process.capabilities.bounding)\n"
            "set credentials uid 1000 gid 1001 groups 5 6  (process.user)\n"
            "change directory to /work  (process.cwd)\n"
            "find program 'sh' '-c' 'true'  (process.args[0])\n");
}

TEST(Plan, affinity_is_for_exec_only) {
  oci::Process process = typical();
  process.exec_cpu_affinity = oci::CpuAffinity{"", "0-1"};
  const Result<Planned> planned = plan(process, {});
  ASSERT_TRUE(planned);
  EXPECT_EQ(planned->before.find("affinity"), std::string::npos);
}

TEST(Plan, reports_all_faults_at_once) {
  oci::Process process = typical();
  process.args.clear();
  process.cwd = "work";
  process.rlimits = {{"RLIMIT_X", 1, 1}};
  process.capabilities->bounding = {"CAP_NOTHING"};
  const Result<Planned> planned = plan(process, {.set_groups = false, .where = "exec.process"});
  ASSERT_FALSE(planned);
  const std::string text = planned.error().text();
  EXPECT_THAT(text, HasSubstr("exec.process.cwd: 'work' is not an absolute path"));
  EXPECT_THAT(text, HasSubstr("exec.process.args: is empty"));
  EXPECT_THAT(text, HasSubstr("exec.process.rlimits[0].type: 'RLIMIT_X'"));
  EXPECT_THAT(text, HasSubstr("exec.process.capabilities.bounding[0]: 'CAP_NOTHING'"));
  EXPECT_THAT(text, HasSubstr("exec.process.user.additionalGids: setgroups is denied"));
  EXPECT_EQ(planned.error().code(), Code::kInvalid);
}

TEST(Plan, the_environment_has_room_for_home) {
  const FakeProc proc;
  steps::Builder builder = new_builder();
  ASSERT_TRUE(plan_before_gate(typical(), {}, proc.host(), builder));
  const steps::HomeArgs* home = nullptr;
  const steps::ExecArgs* program = nullptr;
  for (const steps::Step& step : builder.steps()) {
    if (step.op == steps::Op::kHome) home = static_cast<const steps::HomeArgs*>(step.args);
    if (step.op == steps::Op::kFindProgram)
      program = static_cast<const steps::ExecArgs*>(step.args);
  }
  ASSERT_NE(home, nullptr);
  ASSERT_NE(program, nullptr);
  EXPECT_STREQ(home->value, "HOME=/");
  EXPECT_STREQ(program->envp[0], "PATH=/bin:/usr/bin");
  EXPECT_EQ(program->envp[1], home->value);  // the very bytes that the stage fills
  EXPECT_EQ(program->envp[2], nullptr);
  EXPECT_STREQ(program->search_path, "/bin:/usr/bin");
  EXPECT_EQ(program->effective, 0x20U);
  EXPECT_EQ(program->path, nullptr);
}

TEST(Plan, exec_alone_is_an_error) {
  const FakeProc proc;
  steps::Builder builder = new_builder();
  EXPECT_FALSE(plan_exec(typical(), {}, Grantable(), builder));
}

TEST(Plan, working_directory_is_made_from_the_config) {
  steps::Builder builder = new_builder();
  plan_working_directory(typical(), {}, builder);
  EXPECT_EQ(builder.dump(), "make the working directory /work  (process.cwd)\n");
}

}  // namespace
}  // namespace vrun::process
