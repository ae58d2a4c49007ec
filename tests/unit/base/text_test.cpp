#include "base/text.hpp"

#include <array>

#include <gtest/gtest.h>

#include "base/id.hpp"
#include "base/result.hpp"

namespace vrun {
namespace {

TEST(Text, quoting_hides_nothing_and_passes_no_control_character) {
  EXPECT_EQ(quote("a b"), "'a b'");
  EXPECT_EQ(quote("it's"), "'it\\x27s'");
  EXPECT_EQ(printable("\x1b[2J\n"), "\\x1b[2J\\x0a");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b31m")
      << "a C1 character";
  EXPECT_EQ(printable("\x9b"
                      "31m"),
            "\\x9b31m")
      << "the same for terminals in 8-bit mode";
  EXPECT_EQ(printable("a\xc2"), "a\\xc2") << "half a character could meet its other half";
  EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82");
  EXPECT_EQ(printable("\xf0\x9f\x98\x80\xe2\x82\xac"), "\xf0\x9f\x98\x80\xe2\x82\xac");
  EXPECT_EQ(printable("a\xe2\x80\xae"
                      "b\xe2\x81\xa6"),
            "a\\xe2\\x80\\xaeb\\xe2\\x81\\xa6")
      << "what follows would be shown backwards";
  EXPECT_EQ(printable("\xe2\x80\xa7\xe2\x81\xa5"), "\xe2\x80\xa7\xe2\x81\xa5");
  EXPECT_EQ(printable("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
}

TEST(Text, numbers_are_whole_and_do_not_wrap) {
  EXPECT_EQ(parse_u64("18446744073709551615"), 18446744073709551615U);
  EXPECT_FALSE(parse_u64("18446744073709551616"));
  for (const char* bad : {"", " 1", "1 ", "+1", "-1", "0x10", "1.0"})
    EXPECT_FALSE(parse_u64(bad)) << bad;
  EXPECT_EQ(parse_i64("-5"), -5);
}

TEST(Text, sizes_take_binary_units_only) {
  EXPECT_EQ(parse_bytes("512"), 512U);
  EXPECT_EQ(parse_bytes("64m"), 64U << 20U);
  EXPECT_EQ(parse_bytes("1.5G"), 3U << 29U);
  EXPECT_EQ(parse_bytes("2GiB"), 2ULL << 30U);
  for (const char* bad : {"", "5q", "m", "-1", "-1m", "1e3", "99999999999999p", "nan", "inf"}) {
    EXPECT_FALSE(parse_bytes(bad)) << bad;
  }
}

TEST(Text, the_nearest_word_is_near) {
  constexpr std::array<std::string_view, 3> kVerbs{"create", "start", "state"};
  EXPECT_EQ(nearest("craete", kVerbs), "create");
  EXPECT_EQ(nearest("stat", kVerbs), "start");
  EXPECT_FALSE(nearest("xyzzyx", kVerbs));
}

TEST(Text, swapped_letters_are_one_mistake_and_short_words_forgive_only_one) {
  constexpr std::array<std::string_view, 4> kWords{"run", "state", "ps", "log"};
  EXPECT_EQ(nearest("rnu", kWords), "run");
  EXPECT_EQ(nearest("sttae", kWords), "state");
  EXPECT_EQ(nearest("sp", kWords), "ps");
  EXPECT_FALSE(nearest("foo", kWords)) << "one right letter of three is a guess";
  EXPECT_FALSE(nearest("", kWords));
}

TEST(Text, split_keeps_empty_parts_and_trim_takes_both_ends) {
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), (std::vector<std::string_view>{""}));
  EXPECT_EQ(trim(" \ta b\r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
}

TEST(ContainerId, takes_what_runc_takes) {
  EXPECT_TRUE(ContainerId::parse("a-b_c.d+1"));
  EXPECT_TRUE(ContainerId::parse(std::string(1024, 'a')));
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("a b"),
        std::string("a\n"), std::string("a\0b", 3), std::string(1025, 'a')}) {
    EXPECT_FALSE(ContainerId::parse(bad));
  }
}

TEST(Error, reads_as_one_sentence_from_outer_to_inner) {
  const Error error = Error::system(EPERM, "mount proc on /proc")
                          .at("mounts[0]")
                          .during("create web")
                          .hint("first")
                          .hint("second");
  EXPECT_EQ(error.text(),
            "create web: mount proc on /proc (mounts[0]): operation not permitted (EPERM)");
  EXPECT_EQ(error.hint(), "first") << "the innermost hint wins";
  EXPECT_EQ(error.code(), Code::kDenied);
}

TEST(Error, words_that_engines_look_for_are_in_lower_case) {
  EXPECT_EQ(errno_text(ENOENT), "no such file or directory (ENOENT)");
  EXPECT_EQ(errno_text(EACCES), "permission denied (EACCES)");
  EXPECT_EQ(errno_text(99999), "error 99999");
}

TEST(Result, try_returns_the_error_to_the_caller) {
  const auto inner = []() -> Result<int> { return Error(Code::kState, "no"); };
  const auto outer = [&]() -> Result<std::string> { return std::to_string(TRY(inner())); };
  ASSERT_FALSE(outer());
  EXPECT_EQ(outer().error().text(), "no");
}

}  // namespace
}  // namespace vrun
