#include "cli/docker_flags.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {
namespace {

using ::testing::ElementsAre;

std::span<const Flag> run_flags() {
  return find_everyday_verb("run")->flags();
}

TEST(DockerFlags, other_spellings_are_ours_before_the_image_only) {
  EXPECT_THAT(with_our_spelling(run_flags(), {"--net", "none", "--net=host", "base", "--net", "x"}),
              ElementsAre("--network", "none", "--network=host", "base", "--net", "x"));
  EXPECT_THAT(with_our_spelling(run_flags(), {"-e", "--net", "--dns-opt=x", "base"}),
              ElementsAre("-e", "--net", "--dns-option=x", "base"));
  EXPECT_THAT(with_our_spelling(find_everyday_verb("ps")->flags(), {"--net"}),
              ElementsAre("--net"));
}

TEST(DockerFlags, those_that_are_missing_have_something_instead) {
  const auto check = [](std::vector<std::string> words) {
    return check_known_missing(run_flags(), words);
  };
  const auto gpus = check({"--rm", "--gpus=all", "base"});
  ASSERT_FALSE(gpus);
  EXPECT_EQ(gpus.error().text(), "vrun has no flag '--gpus'");
  EXPECT_NE(gpus.error().hint().find("--device"), std::string::npos);
  EXPECT_FALSE(check({"-a", "stdout", "base"}));
  EXPECT_TRUE(check({"-e", "--gpus", "base", "--gpus"}));
  EXPECT_TRUE(check({"--nosuch", "base"})) << "that one is for the parser";
}

TEST(DockerFlags, no_flag_that_is_here_is_called_missing) {
  for (const Flag& flag : run_flags())
    EXPECT_EQ(instead_of_flag(flag.name), "") << flag.name.view();
}

}  // namespace
}  // namespace vrun::cli
