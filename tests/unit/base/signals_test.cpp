#include "base/signals.hpp"

#include <csignal>

#include <gtest/gtest.h>

namespace vrun {
namespace {

TEST(Signals, names_with_and_without_sig_in_any_case_and_numbers) {
  for (const char* text : {"KILL", "SIGKILL", "sigkill", "Kill", "9"}) {
    const Result<int> signal = parse_signal(text);
    ASSERT_TRUE(signal) << text;
    EXPECT_EQ(*signal, SIGKILL) << text;
  }
  EXPECT_EQ(*parse_signal("0"), 0);
  EXPECT_EQ(*parse_signal("64"), 64);
}

TEST(Signals, each_name_is_the_kernel_s) {
  for (int signal = 1; signal < 32; ++signal) {
    const char* name = sigabbrev_np(signal);
    ASSERT_NE(name, nullptr);
    const Result<int> parsed = parse_signal(name);
    ASSERT_TRUE(parsed) << name;
    EXPECT_EQ(*parsed, signal) << name;
  }
}

TEST(Signals, realtime_ones_count_from_both_ends) {
  EXPECT_EQ(*parse_signal("SIGRTMIN"), SIGRTMIN);
  EXPECT_EQ(*parse_signal("RTMIN+3"), SIGRTMIN + 3);
  EXPECT_EQ(*parse_signal("RTMAX"), SIGRTMAX);
  EXPECT_EQ(*parse_signal("sigrtmax-1"), SIGRTMAX - 1);
}

TEST(Signals, anything_else_is_refused) {
  for (const char* text :
       {"", "SIG", "65", "-9", "9x", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "RTMINX"}) {
    EXPECT_FALSE(parse_signal(text)) << text;
  }
  const Result<int> near = parse_signal("SIGTREM");
  ASSERT_FALSE(near);
  EXPECT_EQ(near.error().text(), "unknown signal 'SIGTREM'");
  EXPECT_EQ(near.error().hint(), "did you mean TERM?");
}

}  // namespace
}  // namespace vrun
