#include "vm/vmm/console_tail.hpp"

#include <gtest/gtest.h>

namespace vrun::vmm {
namespace {

TEST(ConsoleTail, keeps_the_newest_lines_without_control_characters) {
  ConsoleTail tail;
  EXPECT_EQ(tail.last(3), "");
  tail.add("one\r\ntwo\r\n\r\nthr");
  tail.add("ee\x1b[31m\r\n");
  EXPECT_EQ(tail.last(2).substr(0, 9), "two\nthree");
  EXPECT_EQ(tail.last(2).find('\x1b'), std::string::npos);
}

TEST(ConsoleTail, tells_what_the_kernel_panicked_of) {
  ConsoleTail tail;
  tail.add("[    1.0] Run /init as init process\r\n");
  EXPECT_EQ(tail.panic(), "");
  tail.add("[    1.2] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n");
  tail.add("[    1.2] CPU: 0 PID: 1 Comm: init Not tainted\r\n");
  tail.add("[    1.3] ---[ end Kernel panic - not syncing: something else ]---\r\n");
  EXPECT_EQ(tail.panic(), "Attempted to kill init! exitcode=0x00000100");
}

TEST(ConsoleTail, is_bounded) {
  ConsoleTail tail;
  for (int i = 0; i < 10000; ++i)
    tail.add("a line like many others\n");
  EXPECT_LE(tail.last(100000).size(), ConsoleTail::kMost);
}

}  // namespace
}  // namespace vrun::vmm
