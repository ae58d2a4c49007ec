// Why a guest ended, in words.
#include "engine/guest_end.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

namespace vrun::engine {
namespace {

using ::testing::HasSubstr;

LastExit end_of(const EndFacts& facts) {
  LastExit last;
  explain_end(facts, last);
  return last;
}

EndFacts exited(int code) {
  EndFacts facts;
  facts.status = code << 8;
  return facts;
}
EndFacts killed(int signal) {
  EndFacts facts;
  facts.status = signal;
  return facts;
}

TEST(GuestEnd, an_exit_has_its_code) {
  const LastExit last = end_of(exited(3));
  EXPECT_EQ(last.code, 3);
  EXPECT_EQ(last.signal, 0);
  EXPECT_EQ(last.reason, "exited with code 3");
}

TEST(GuestEnd, a_signal_of_vrun_names_the_command) {
  EndFacts facts = killed(SIGKILL);
  facts.killers = "15 vrun stop\n9 vrun rm\n15 vrun stop\n";
  const LastExit last = end_of(facts);
  EXPECT_EQ(last.code, 137);
  EXPECT_EQ(last.signal, SIGKILL);
  EXPECT_EQ(last.reason, "killed by signal 9 (KILL) of `vrun rm`");
}

TEST(GuestEnd, a_machine_that_powers_off_or_reboots_ended_well) {
  EndFacts facts = killed(SIGINT);
  facts.power_down = PowerDown::kOff;
  EXPECT_EQ(end_of(facts).code, 0);
  EXPECT_EQ(end_of(facts).reason, "powered off from inside");
  EXPECT_FALSE(end_of(facts).rebooted);
  facts.power_down = PowerDown::kReboot;
  EXPECT_TRUE(end_of(facts).rebooted);
  EXPECT_EQ(end_of(facts).signal, 0);
}

TEST(GuestEnd, a_checkpointed_machine_says_how_it_goes_on) {
  EndFacts facts = exited(137);
  facts.checkpointed = true;
  const LastExit last = end_of(facts);
  EXPECT_EQ(last.code, 137);
  EXPECT_EQ(last.reason, "checkpointed");
  EXPECT_THAT(last.hint, HasSubstr("vrun restore"));
}

TEST(GuestEnd, a_lost_machine_says_why) {
  EndFacts facts = exited(125);
  facts.machine = "the guest's kernel panicked: x";
  const LastExit last = end_of(facts);
  EXPECT_EQ(last.code, 125);
  EXPECT_EQ(last.reason, facts.machine);
  EXPECT_THAT(last.hint, HasSubstr("vrun logs"));
}

TEST(GuestEnd, a_machine_whose_monitor_broke_out_of_its_jail_says_where) {
  EndFacts facts = killed(SIGSYS);
  facts.machine = "the monitor of the machine was ended: thread net made the system call x";
  const LastExit last = end_of(facts);
  EXPECT_EQ(last.code, 128 + SIGSYS);
  EXPECT_EQ(last.reason, facts.machine);
  EXPECT_THAT(last.hint, HasSubstr("report it"));
}

TEST(GuestEnd, another_signal_is_not_vruns) {
  EndFacts facts = killed(SIGSEGV);
  facts.killers = "15 vrun stop\n";
  EXPECT_THAT(end_of(facts).reason, HasSubstr("from inside or by a process of the host"));
}

TEST(GuestEnd, lack_of_memory_has_the_limit_and_a_hint) {
  EndFacts facts = killed(SIGKILL);
  facts.oom_kills = 1;
  facts.memory_limit = "64m";
  const LastExit last = end_of(facts);
  EXPECT_TRUE(last.oom);
  EXPECT_THAT(last.reason, HasSubstr("its limit is 64m"));
  EXPECT_THAT(last.hint, HasSubstr("--memory"));
}

TEST(GuestEnd, a_child_killed_for_memory_is_told_though_the_guest_exited) {
  EndFacts facts = exited(1);
  facts.oom_kills = 2;
  facts.memory_limit = "64m";
  const LastExit last = end_of(facts);
  EXPECT_TRUE(last.oom);
  EXPECT_THAT(last.reason, HasSubstr("2 of its processes were killed for memory"));
}

TEST(GuestEnd, a_kill_for_the_tenants_memory_names_the_tenant_and_its_limit) {
  EndFacts facts = killed(SIGKILL);
  facts.oom_kills = 1;
  facts.memory_limit = "1g";
  facts.tenant = "acme";
  facts.tenant_limit = "64MiB";
  LastExit last = end_of(facts);
  EXPECT_THAT(last.reason, HasSubstr("the memory of tenant 'acme' is used up, its limit is 64MiB"));
  EXPECT_THAT(last.hint, HasSubstr("let root of this host raise it: vrun tenant update acme"));
  facts.status = 1 << 8;
  last = end_of(facts);
  EXPECT_THAT(last.reason, HasSubstr("was killed for memory: the memory of tenant 'acme'"));
}

TEST(GuestEnd, a_seccomp_kill_is_told) {
  EndFacts facts = killed(SIGSYS);
  facts.syscall = "mkdirat";
  const LastExit last = end_of(facts);
  EXPECT_THAT(last.reason, HasSubstr("seccomp filter"));
  EXPECT_EQ(last.reason, "killed by the seccomp filter: system call 'mkdirat'");
  facts.syscall.clear();
  EXPECT_THAT(end_of(facts).reason, HasSubstr("the kernel's log does not name the call"));
}

TEST(GuestEnd, what_nobody_saw_is_said_so) {
  const LastExit last = end_of({});
  EXPECT_EQ(last.code, -1);
  EXPECT_THAT(last.reason, HasSubstr("not known"));
}

}  // namespace
}  // namespace vrun::engine
