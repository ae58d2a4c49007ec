#include "cli/everyday.hpp"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/run.hpp"
#include "tests/unit/cli/words.hpp"

namespace vrun::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const Flag> run_flags() {
  return find_everyday_verb("run")->flags();
}

std::vector<std::string> spread(std::vector<std::string> words) {
  return spread_short_flags(run_flags(), words);
}

TEST(EverydayWords, closed_up_short_flags_are_spread) {
  EXPECT_THAT(spread({"-it", "base"}), ElementsAre("-i", "-t", "base"));
  EXPECT_THAT(spread({"-m64m", "base"}), ElementsAre("-m", "64m", "base"));
  EXPECT_THAT(spread({"-eA=1", "base"}), ElementsAre("-e", "A=1", "base"));
  EXPECT_THAT(spread({"-ite", "A=1", "base"}), ElementsAre("-i", "-t", "-e", "A=1", "base"));
}

TEST(EverydayWords, what_follows_the_image_is_left_alone) {
  EXPECT_THAT(spread({"base", "sh", "-it", "-m64m"}), ElementsAre("base", "sh", "-it", "-m64m"));
  EXPECT_THAT(spread({"--", "-it"}), ElementsAre("--", "-it"));
}

TEST(EverydayWords, a_value_that_looks_like_flags_stays_one_word) {
  EXPECT_THAT(spread({"-e", "-it", "base"}), ElementsAre("-e", "-it", "base"));
  EXPECT_THAT(spread({"--name", "-it", "base"}), ElementsAre("--name", "-it", "base"));
  EXPECT_THAT(spread({"--name=x", "-it"}), ElementsAre("--name=x", "-i", "-t"));
}

TEST(EverydayWords, unknown_letters_are_left_for_the_parser_to_name) {
  EXPECT_THAT(spread({"-xyz", "base"}), ElementsAre("-xyz", "base"));
  EXPECT_THAT(spread({"-iz", "base"}), ElementsAre("-i", "-z", "base"));
}

TEST(EverydayVerbs, tables_are_sound) {
  for (const EverydayVerb& verb : everyday_verbs()) {
    EXPECT_FALSE(verb.summary.view().empty());
    std::set<std::string> names;
    for (const Flag& flag : verb.flags()) {
      EXPECT_TRUE(names.insert(std::string(flag.name.view())).second) << flag.name.view();
      if (!flag.alias.view().empty()) {
        EXPECT_TRUE(names.insert(std::string(flag.alias.view())).second) << flag.alias.view();
      }
      EXPECT_FALSE(flag.help.view().empty()) << flag.name.view();
    }
    EXPECT_THAT(everyday_help(verb), HasSubstr(everyday_usage(verb)));
    EXPECT_THAT(everyday_help(), HasSubstr(verb.summary.view()));
  }
  EXPECT_EQ(find_everyday_verb("rum"), nullptr);
}

TEST(EverydayRun, every_flag_reaches_the_request) {
  const Words words{"--name=n",
                    "--hostname=h",
                    "-t",
                    "--interactive=false",
                    "-e",
                    "A=1",
                    "-e",
                    "B",
                    "--env-file=f",
                    "-w",
                    "/w",
                    "-u",
                    "u:g",
                    "--entrypoint=",
                    "-m",
                    "64m",
                    "--cpus=1.5",
                    "--pids-limit=9",
                    "-v",
                    "/a:/b",
                    "--tmpfs=/t",
                    "--read-only",
                    "--network=host",
                    "--cap-add=X",
                    "--cap-drop=Y",
                    "--no-new-privs",
                    "--isolation=vm",
                    "--pull=always",
                    "--rm=false",
                    "base",
                    "sh",
                    "-c",
                    "--name=inner"};
  const Result<Arguments> arguments = parse(run_flags(), false, words);
  ASSERT_TRUE(arguments) << arguments.error().text();
  const engine::RunRequest request = *to_request(*arguments);
  EXPECT_EQ(request.name, "n");
  EXPECT_EQ(request.hostname, "h");
  EXPECT_EQ(request.tty, true);
  EXPECT_EQ(request.interactive, false);
  EXPECT_THAT(request.env, ElementsAre("A=1", "B"));
  EXPECT_THAT(request.env_files, ElementsAre("f"));
  EXPECT_EQ(request.workdir, "/w");
  EXPECT_EQ(request.user, "u:g");
  EXPECT_EQ(request.entrypoint, "");
  EXPECT_EQ(request.memory, "64m");
  EXPECT_EQ(request.cpus, "1.5");
  EXPECT_EQ(request.pids_limit, "9");
  EXPECT_THAT(request.volumes, ElementsAre("/a:/b"));
  EXPECT_THAT(request.tmpfs, ElementsAre("/t"));
  EXPECT_TRUE(request.read_only);
  EXPECT_TRUE(request.no_new_privileges);
  EXPECT_EQ(request.network, "host");
  EXPECT_THAT(request.cap_add, ElementsAre("X"));
  EXPECT_THAT(request.cap_drop, ElementsAre("Y"));
  EXPECT_EQ(request.isolation, "vm");
  EXPECT_EQ(request.pull, "always");
  EXPECT_FALSE(request.remove);
  EXPECT_EQ(request.image, "base");
  EXPECT_THAT(request.args, ElementsAre("sh", "-c", "--name=inner"));
}

TEST(EverydayRun, system_is_an_isolation) {
  const Words words{"--system", "--start-after=db", "base"};
  const engine::RunRequest request = *to_request(*parse(run_flags(), false, words));
  EXPECT_EQ(request.isolation, "system");
  EXPECT_THAT(request.start_after, ElementsAre("db"));
  const Words both{"--system", "--isolation=vm", "base"};
  const auto refused = to_request(*parse(run_flags(), false, both));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalid);
  EXPECT_TRUE(to_request(*parse(run_flags(), false, Words{"--system", "--isolation=system", "b"})));
}

TEST(EverydayRun, what_is_not_given_stays_open) {
  const Words words{"base"};
  const engine::RunRequest request = *to_request(*parse(run_flags(), false, words));
  EXPECT_FALSE(request.tty);
  EXPECT_FALSE(request.interactive);
  EXPECT_FALSE(request.entrypoint);
  EXPECT_FALSE(request.remove);
  EXPECT_EQ(request.network, "default");
  EXPECT_EQ(request.isolation, "container");
  EXPECT_TRUE(request.memory.empty());
}

}  // namespace
}  // namespace vrun::cli
