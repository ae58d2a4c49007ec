#include "images/transfer/credentials.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.hpp"

namespace vrun::images {
namespace {

using ::testing::HasSubstr;

AuthEntry entry(const std::string& json, const std::string& domain,
                const std::string& path = "team/app") {
  Result<AuthEntry> found = find_auth(json, "config.json", domain, path);
  EXPECT_TRUE(found) << found.error().text();
  return found ? *std::move(found) : AuthEntry();
}

TEST(FindAuth, by_host_and_by_url) {
  EXPECT_EQ(entry(R"({"auths":{"r.example:5000":{"auth":"YTpi"}}})", "r.example:5000")
                .credentials.password,
            "b");
  EXPECT_EQ(
      entry(R"({"auths":{"https://r.example/v1/":{"auth":"YTpi"}}})", "r.example").credentials.user,
      "a");
  EXPECT_TRUE(
      entry(R"({"auths":{"r.example":{"auth":"YTpi"}}})", "r.example:5000").credentials.empty());
  EXPECT_TRUE(entry("{}", "r.example").credentials.empty());
}

TEST(FindAuth, docker_io_has_its_old_key) {
  const std::string json = R"({"auths":{"https://index.docker.io/v1/":{"auth":"YTpiOmM="}}})";
  EXPECT_EQ(entry(json, "docker.io").credentials.user, "a");
  EXPECT_EQ(entry(json, "docker.io").credentials.password, "b:c");  // colons belong to it
}

TEST(FindAuth, the_longest_prefix_wins) {
  const std::string json =
      R"({"auths":{"r.example":{"auth":"YTox"},"r.example/team/app":{"auth":"YToz"},
          "r.example/team":{"auth":"YToy"},"r.example/te":{"auth":"YTo0"}}})";
  EXPECT_EQ(entry(json, "r.example", "team/app").credentials.password, "3");
  EXPECT_EQ(entry(json, "r.example", "team/other").credentials.password, "2");
  EXPECT_EQ(entry(json, "r.example", "else/where").credentials.password, "1");
}

TEST(FindAuth, helpers_win_over_what_stands_there) {
  const std::string json =
      R"({"auths":{"a.example":{"auth":"YTpi"}},"credsStore":"all","credHelpers":{"b.example":"one"}})";
  EXPECT_EQ(entry(json, "a.example").helper, "all");
  EXPECT_EQ(entry(json, "b.example").helper, "one");
}

TEST(FindAuth, other_members) {
  const auto token = entry(R"({"auths":{"r":{"auth":"YTo=","identitytoken":"T"}}})", "r");
  EXPECT_EQ(token.credentials.identity_token, "T");
  const auto plain = entry(R"({"auths":{"r":{"username":"u","password":"p"}}})", "r");
  EXPECT_EQ(plain.credentials.user + plain.credentials.password, "up");
}

TEST(FindAuth, a_damaged_entry_is_named) {
  const auto found =
      find_auth(R"({"auths":{"r.example":{"auth":"?"}}})", "/x/config.json", "r.example", "a");
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().text(), HasSubstr("/x/config.json: auths.r.example.auth"));
  EXPECT_THAT(found.error().hint(), HasSubstr("vrun login r.example"));
}

TEST(FindAuth, members_of_a_wrong_kind_know_nothing) {
  for (const char* json : {R"({"auths":"x","credHelpers":"y","credsStore":5})", R"({"auths":[1]})",
                           R"({"auths":{"r":5}})", "[]", "\"x\"", "5"})
    EXPECT_TRUE(entry(json, "r").credentials.empty()) << json;
  EXPECT_FALSE(with_auth(R"({"auths":[]})", "f", "r", nullptr));
}

TEST(WithAuth, keeps_everything_else) {
  const Credentials mine{.user = "a", .password = "b", .identity_token = ""};
  const std::string before =
      R"({"psFormat":"x","n":-3,"list":[1,true,null],"auths":{"other":{"auth":"eDp5"},"r":{"auth":"old"}}})";
  const std::string after = *with_auth(before, "f", "r", &mine);
  EXPECT_THAT(after, HasSubstr(R"("psFormat": "x")"));
  EXPECT_THAT(after, HasSubstr("-3"));
  EXPECT_EQ(entry(after, "r").credentials.password, "b");
  EXPECT_EQ(entry(after, "other").credentials.password, "y");
  const std::string gone = *with_auth(after, "f", "r", nullptr);
  EXPECT_TRUE(entry(gone, "r").credentials.empty());
  EXPECT_EQ(entry(gone, "other").credentials.password, "y");
}

TEST(WithAuth, a_new_file_and_a_wrong_one) {
  const Credentials mine{.user = "a", .password = "b", .identity_token = ""};
  EXPECT_EQ(entry(*with_auth("", "f", "docker.io", &mine), "docker.io").credentials.user, "a");
  EXPECT_THAT(*with_auth("", "f", "docker.io", &mine), HasSubstr("https://index.docker.io/v1/"));
  EXPECT_FALSE(with_auth("[]", "f", "r", &mine));
  EXPECT_FALSE(with_auth("{", "f", "r", &mine));
}

}  // namespace
}  // namespace vrun::images
