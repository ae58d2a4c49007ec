#include "engine/environment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Environment, the_last_value_wins_and_keeps_its_place) {
  Environment environment({});
  ASSERT_TRUE(environment.add("A=1"));
  ASSERT_TRUE(environment.add("B=2"));
  ASSERT_TRUE(environment.add("A=3=x"));
  EXPECT_THAT(environment.entries(), ElementsAre("A=3=x", "B=2"));
  EXPECT_EQ(environment.get("A"), "3=x");
}

TEST(Environment, a_name_alone_takes_the_callers_value_or_nothing) {
  Environment environment({"TOKEN=secret", "TOKENS=2"});
  ASSERT_TRUE(environment.add("TOKEN"));
  ASSERT_TRUE(environment.add("ABSENT"));
  EXPECT_THAT(environment.entries(), ElementsAre("TOKEN=secret"));
}

TEST(Environment, a_default_gives_way) {
  Environment environment({});
  ASSERT_TRUE(environment.add("HOME="));
  environment.add_default("HOME", "/root");
  environment.add_default("PATH", "/bin");
  EXPECT_THAT(environment.entries(), ElementsAre("HOME=", "PATH=/bin"));
}

TEST(Environment, bad_names_are_refused) {
  Environment environment({});
  EXPECT_FALSE(environment.add("=x"));
  EXPECT_FALSE(environment.add(""));
  EXPECT_FALSE(environment.add("A B=x"));
}

TEST(Environment, files_have_comments_blank_lines_and_line_numbers_in_errors) {
  Environment environment({"FROM_CALLER=yes"});
  ASSERT_TRUE(
      environment.add_file("# a comment\n\nA=1\r\n  B=two words # kept\nFROM_CALLER\n", "f"));
  EXPECT_THAT(environment.entries(), ElementsAre("A=1", "B=two words # kept", "FROM_CALLER=yes"));
  const auto bad = environment.add_file("A=1\nbad name=2\n", "vars.env");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().text(), HasSubstr("vars.env:2: "));
}

}  // namespace
}  // namespace vrun::engine
