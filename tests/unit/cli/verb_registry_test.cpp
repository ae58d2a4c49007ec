#include "cli/verb_registry.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What vrun-image is asked for when a user writes `words` behind the verb.
Result<images::TransferRequest> request(const std::string& verb, std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words)
    argv.push_back(word.data());
  const Result<Arguments> arguments = parse(find_everyday_verb(verb)->flags(), true, argv);
  EXPECT_TRUE(arguments) << arguments.error().text();
  engine::Places places;
  places.data = "/data";
  places.images = "/shipped";
  return to_transfer(verb, *arguments, places);
}

TEST(ToTransfer, pull) {
  const auto asked = request("pull", {"--platform", "arm64", "a", "b:v1", "--progress=json"});
  ASSERT_TRUE(asked);
  EXPECT_THAT(asked->images, ElementsAre("a", "b:v1"));
  EXPECT_EQ(asked->platform, "arm64");
  EXPECT_EQ(asked->progress, images::ProgressStyle::kJson);
  EXPECT_EQ(asked->data_dir, "/data");
}

TEST(ToTransfer, quiet_wins) {
  EXPECT_EQ(request("push", {"-q", "--progress", "plain", "a"})->progress,
            images::ProgressStyle::kQuiet);
  EXPECT_EQ(request("push", {"a"})->progress, images::ProgressStyle::kAuto);
  EXPECT_EQ(request("push", {"a"})->shipped_dir, "/shipped");
}

TEST(ToTransfer, an_unknown_style_is_refused) {
  const auto asked = request("pull", {"--progress", "fancy", "a"});
  ASSERT_FALSE(asked);
  EXPECT_THAT(asked.error().text(), HasSubstr("auto, plain, json or quiet"));
}

TEST(ToTransfer, passwords_never_stand_in_the_request) {
  const auto asked = request("login", {"-u", "ann", "-p", "s3cret", "r.example"});
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->registry, "r.example");
  EXPECT_EQ(asked->username, "ann");
  EXPECT_TRUE(asked->password_stdin);
  EXPECT_EQ(images::to_json(*asked).find("s3cret"), std::string::npos);
}

TEST(ToTransfer, login_flags_that_exclude_each_other) {
  EXPECT_FALSE(request("login", {"-p", "x"}));
  EXPECT_FALSE(request("login", {"-u", "a", "-p", "x", "--password-stdin"}));
  EXPECT_TRUE(request("login", {}));
  EXPECT_EQ(request("logout", {"r.example"})->registry, "r.example");
}

}  // namespace
}  // namespace vrun::cli
