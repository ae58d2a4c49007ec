#include "cli/ps_table.hpp"

#include <gtest/gtest.h>

namespace vrun::cli {
namespace {

const std::vector<Pid> kPids{Pid(12), Pid(345)};

TEST(PsTable, keeps_the_heading_and_the_container_s_lines) {
  const Result<std::string> cut = ps_table(
      "UID          PID    PPID CMD\n"
      "root           1       0 init\n"
      "root          12       1 sleep 345\n"
      "root          34      12 sleep 12\n"
      "root         345      12 sh\n",
      kPids);
  ASSERT_TRUE(cut);
  EXPECT_EQ(*cut,
            "UID          PID    PPID CMD\n"
            "root          12       1 sleep 345\n"
            "root         345      12 sh\n");
}

TEST(PsTable, finds_the_pid_column_wherever_it_is) {
  const Result<std::string> cut = ps_table("PID CMD\n 12 a\n13 b\n", kPids);
  ASSERT_TRUE(cut);
  EXPECT_EQ(*cut, "PID CMD\n 12 a\n");
}

TEST(PsTable, without_a_pid_column_it_is_an_error) {
  const Result<std::string> cut = ps_table("CMD\nsh\n", kPids);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().text(), "ps prints no PID column with these options");
}

TEST(PsTable, a_process_name_cannot_stand_for_a_pid) {
  EXPECT_FALSE(ps_table("COMMAND  PID\nbackup 12   99\n", kPids));
  EXPECT_FALSE(run_ps({"-e", "-o", "etimes=PID,args"}, {}));
  EXPECT_FALSE(run_ps({"-eo=etimes=PID"}, {}));
}

TEST(PsTable, a_process_name_cannot_play_with_the_terminal) {
  const Result<std::string> cut = ps_table("PID CMD\n12 \x1b]0;x\x07\n", kPids);
  ASSERT_TRUE(cut);
  EXPECT_EQ(*cut, "PID CMD\n12 \\x1b]0;x\\x07\n");
}

TEST(PsTable, empty_output_is_an_error_and_not_a_crash) {
  EXPECT_FALSE(ps_table("", kPids));
}

}  // namespace
}  // namespace vrun::cli
