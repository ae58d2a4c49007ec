#include "cli/options.hpp"

#include <array>

#include <gtest/gtest.h>

#include "tests/unit/cli/words.hpp"

namespace vrun::cli {
namespace {

constexpr std::array kFlags{
    Flag{"detach", "d", Kind::kSwitch, "", "run in the background"},
    Flag{"bundle", "b", Kind::kText, "DIR", "the bundle", "."},
    Flag{"env", "e", Kind::kList, "NAME=VALUE", "a variable"},
    Flag{"limit", "", Kind::kNumber, "N", "a number", "7"},
    Flag{"interval", "", Kind::kDuration, "DURATION", "a time", "5s"},
    Flag{"old", "", Kind::kSwitch, "", "no effect", "", Shown::kDeprecated},
};

Arguments good(const Words& words, bool anywhere = true) {
  Result<Arguments> parsed = parse(kFlags, anywhere, words);
  EXPECT_TRUE(parsed) << parsed.error().text();
  return parsed ? *parsed : Arguments(kFlags);
}

std::string bad(const Words& words) {
  const Result<Arguments> parsed = parse(kFlags, true, words);
  if (parsed) return "accepted";
  return parsed.error().text() +
         (parsed.error().hint().empty() ? "" : " | " + parsed.error().hint());
}

TEST(Options, one_dash_and_two_mean_the_same) {
  EXPECT_TRUE(good({"-detach"}).on("detach"));
  EXPECT_TRUE(good({"--detach"}).on("detach"));
  EXPECT_TRUE(good({"-d"}).on("detach"));
  EXPECT_TRUE(good({"--d"}).on("detach"));
}

TEST(Options, a_value_stands_after_equals_or_is_the_next_word_whatever_it_looks_like) {
  EXPECT_EQ(good({"--bundle=/a=b"}).text("bundle"), "/a=b");
  EXPECT_EQ(good({"-b", "/a"}).text("bundle"), "/a");
  EXPECT_EQ(good({"--bundle", "--detach"}).text("bundle"), "--detach");
  EXPECT_EQ(good({"--limit", "-1"}).number("limit"), -1);
  EXPECT_EQ(good({"--bundle="}).text("bundle"), "");
}

TEST(Options, a_switch_takes_a_value_only_after_equals) {
  EXPECT_FALSE(good({"--detach=false"}).on("detach"));
  EXPECT_TRUE(good({"--detach=T"}).on("detach"));
  const Arguments parsed = good({"--detach", "false"});
  EXPECT_TRUE(parsed.on("detach"));
  EXPECT_EQ(parsed.word(0), "false");
  EXPECT_EQ(bad({"--detach=maybe"}), "flag --detach: 'maybe' is not true or false");
}

TEST(Options, flags_may_follow_words_unless_the_verb_hands_them_on) {
  const Arguments mixed = good({"web", "-d", "KILL"});
  EXPECT_TRUE(mixed.on("detach"));
  EXPECT_EQ(mixed.words(), (std::vector<std::string_view>{"web", "KILL"}));
  const Arguments kept = good({"web", "-d", "--nothing"}, false);
  EXPECT_FALSE(kept.on("detach"));
  EXPECT_EQ(kept.words(), (std::vector<std::string_view>{"web", "-d", "--nothing"}));
}

TEST(Options, two_dashes_end_the_flags) {
  const Arguments parsed = good({"-d", "--", "web", "-b", "--"});
  EXPECT_EQ(parsed.words(), (std::vector<std::string_view>{"web", "-b", "--"}));
  EXPECT_FALSE(parsed.has("bundle"));
}

TEST(Options, a_lone_dash_is_a_word) {
  EXPECT_EQ(good({"-"}).word(0), "-");
  EXPECT_EQ(good({"--bundle", "-"}).text("bundle"), "-");
}

TEST(Options, repeated_flags_collect_or_the_last_one_wins) {
  EXPECT_EQ(good({"-e", "A=1", "--env=B=2"}).list("env"), (std::vector<std::string>{"A=1", "B=2"}));
  EXPECT_EQ(good({"-b", "x", "-b", "y"}).text("bundle"), "y");
  EXPECT_FALSE(good({"-d", "--detach=false"}).on("detach"));
}

TEST(Options, absent_flags_have_the_value_of_the_table) {
  const Arguments parsed = good({});
  EXPECT_EQ(parsed.text("bundle"), ".");
  EXPECT_EQ(parsed.number("limit"), 7);
  EXPECT_EQ(parsed.duration("interval"), std::chrono::seconds(5));
  EXPECT_FALSE(parsed.has("bundle"));
  EXPECT_TRUE(parsed.list("env").empty());
}

TEST(Options, an_unknown_flag_is_refused_with_the_nearest_one) {
  EXPECT_EQ(bad({"--detatch"}), "unknown flag '--detatch' | did you mean --detach?");
  EXPECT_EQ(bad({"--zzzzzz"}), "unknown flag '--zzzzzz'");
  EXPECT_EQ(bad({"web", "--bunde", "x"}), "unknown flag '--bunde' | did you mean --bundle?");
  EXPECT_EQ(bad({"--a\x1b[1m"}), "unknown flag '--a\\x1b[1m'");
}

TEST(Options, deprecated_flags_are_accepted_but_never_suggested) {
  EXPECT_TRUE(good({"--old"}).on("old"));
  EXPECT_EQ(bad({"--olf"}), "unknown flag '--olf'");
}

TEST(Options, a_missing_or_wrong_value_is_refused) {
  EXPECT_EQ(bad({"--bundle"}), "flag --bundle needs a value | write --bundle DIR");
  EXPECT_EQ(bad({"--limit", "1k"}), "flag --limit: '1k' is not a number of 64 bits");
  EXPECT_EQ(bad({"--limit="}), "flag --limit: '' is not a number of 64 bits");
  EXPECT_EQ(bad({"--interval", "5"}), "flag --interval: '5' is not a duration such as 5s or 1m30s");
}

TEST(Options, help_is_seen_among_flags_but_not_in_a_guests_command) {
  EXPECT_TRUE(good({"--help"}).help());
  EXPECT_TRUE(good({"web", "-h"}).help());
  EXPECT_FALSE(good({"web", "-h"}, false).help());
  EXPECT_FALSE(good({"--", "-h"}).help());
}

TEST(Options, numbers_are_go_s) {
  EXPECT_EQ(parse_number("0x1F"), 31);
  EXPECT_EQ(parse_number("+5"), 5);
  EXPECT_EQ(parse_number("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(parse_number("9223372036854775807"), std::numeric_limits<std::int64_t>::max());
  for (const char* wrong : {"", "-", "+", "0x", "1 ", " 1", "1.5", "--1", "9223372036854775808",
                            "-9223372036854775809"}) {
    EXPECT_FALSE(parse_number(wrong)) << wrong;
  }
}

TEST(Options, durations_are_go_s) {
  using namespace std::chrono_literals;
  EXPECT_EQ(parse_duration("1m0.5s"), 60500ms);
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("0"), 0ns);
  EXPECT_EQ(parse_duration("1h2m"), 62min);
  EXPECT_EQ(parse_duration("3µs"), 3us);
  for (const char* wrong :
       {"", "5", "s", "5x", "-1s", "1s1", "inf", "nans", "infs", "1e400s", "300000000h"}) {
    EXPECT_FALSE(parse_duration(wrong)) << wrong;
  }
}

TEST(Options, leading_flags_stops_at_the_first_word) {
  EXPECT_EQ(leading_flags(kFlags, Words{"-d", "-b", "x", "web", "-d"}), 3U);
  EXPECT_EQ(leading_flags(kFlags, Words{"web"}), 0U);
  EXPECT_EQ(leading_flags(kFlags, Words{"--bundle"}), 1U);
  EXPECT_EQ(leading_flags(kFlags, Words{"-d", "--", "-d"}), 1U);
}

}  // namespace
}  // namespace vrun::cli
