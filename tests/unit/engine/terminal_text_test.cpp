#include "engine/terminal_text.hpp"

#include <gtest/gtest.h>

namespace {

using namespace vrun::engine;

TEST(TerminalText, only_colours_reach_a_terminal) {
  EXPECT_EQ(harmless("plain \ttext \xc3\xa9"), "plain \ttext \xc3\xa9");
  EXPECT_EQ(harmless("\x1b[1;31mred\x1b[0m"), "\x1b[1;31mred\x1b[0m");
  EXPECT_EQ(harmless("\x1b[2J"), "\\x1b[2J");
  EXPECT_EQ(harmless("\x1b]0;t\x07"), "\\x1b]0;t\\x07");
  EXPECT_EQ(harmless("\xc2\x9b"
                     "2J"),
            "\\xc2\\x9b2J");
  EXPECT_EQ(harmless("over\rwrite\r"), "over\\x0dwrite\r");
  EXPECT_EQ(harmless("\x1b["), "\\x1b[");
  EXPECT_EQ(harmless("\x7f"), "\\x7f");
}

TEST(TerminalText, what_is_no_utf8_is_shown_as_bytes) {
  EXPECT_EQ(harmless("\x9b"
                     "2J"),
            "\\x9b2J")
      << "CSI of 8-bit terminals";
  EXPECT_EQ(harmless("\xc2"), "\\xc2");
  EXPECT_EQ(harmless("\xe0\x80\x9b"), "\\xe0\\x80\\x9b") << "longer than need be";
  EXPECT_EQ(harmless("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80");
}

// What is shown of a line that came in two pieces.
std::string shown(std::string_view first, std::string_view rest) {
  TerminalText text;
  std::string all = text.take(first, false);
  return all += text.take(rest, true);
}

TEST(TerminalText, pieces_do_not_make_what_a_whole_may_not) {
  EXPECT_EQ(shown("a\xc2",
                  "\x9b"
                  "2J"),
            "a\\xc2\\x9b2J");
  EXPECT_EQ(shown("\x1b", "[2J"), "\\x1b[2J");
  EXPECT_EQ(shown("\x1b[3", "1mred"), "\x1b[31mred");
  EXPECT_EQ(shown("over\r", "write"), "over\\x0dwrite");
  EXPECT_EQ(shown("\xc3", "\xa9"), "\xc3\xa9");
}

}  // namespace
