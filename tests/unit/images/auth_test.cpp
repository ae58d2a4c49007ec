#include "images/transfer/auth.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::images {
namespace {

using ::testing::HasSubstr;

TEST(Challenges, bearer_with_its_parameters) {
  const auto found = parse_challenges(
      R"(Bearer realm="https://auth.example/token",service="reg, istry",scope="repository:a/b:pull")");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].scheme, "bearer");
  EXPECT_EQ(found[0].params.at("realm"), "https://auth.example/token");
  EXPECT_EQ(found[0].params.at("service"), "reg, istry");
  EXPECT_EQ(found[0].params.at("scope"), "repository:a/b:pull");
}

TEST(Challenges, several_in_one_line) {
  const auto found = parse_challenges(R"(Negotiate, basic Realm="a \"b\"" , Bearer realm=x)");
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0], (Challenge{"negotiate", {}}));
  EXPECT_EQ(found[1], (Challenge{"basic", {{"realm", "a \"b\""}}}));
  EXPECT_EQ(found[2], (Challenge{"bearer", {{"realm", "x"}}}));
}

TEST(Challenges, rubbish_ends_the_list) {
  EXPECT_TRUE(parse_challenges("").empty());
  EXPECT_TRUE(parse_challenges("=x").empty());
  EXPECT_TRUE(parse_challenges("realm=x").empty());  // a parameter of nothing
  const auto found = parse_challenges(R"(Basic realm="never closed)");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].params.empty());
}

TEST(Base64, both_ways) {
  for (const std::string text : {"", "a", "ab", "abc", "user:pass\xff\n"})
    EXPECT_EQ(*from_base64(base64(text)), text);
  EXPECT_EQ(base64("user:pass"), "dXNlcjpwYXNz");
  EXPECT_EQ(*from_base64("YTpi"), "a:b");
  EXPECT_EQ(*from_base64("YQ"), "a");  // without padding
  EXPECT_FALSE(from_base64("Y*Q="));
  EXPECT_FALSE(from_base64("YTpiA"));
}

TEST(Base64, basic_authorization) {
  EXPECT_EQ(basic_authorization({.user = "user", .password = "pass", .identity_token = ""}),
            "Basic dXNlcjpwYXNz");
}

TEST(UrlEncode, everything_but_unreserved) {
  EXPECT_EQ(url_encode("repository:a/b:pull aZ0-._~"), "repository%3Aa%2Fb%3Apull%20aZ0-._~");
}

TEST(Token, either_member) {
  EXPECT_EQ(*parse_token(R"({"token":"abc"})", "t"), "abc");
  EXPECT_EQ(*parse_token(R"({"access_token":"abc","expires_in":5})", "t"), "abc");
  EXPECT_EQ(*parse_token(R"({"token":"","access_token":"x"})", "t"), "x");
}

TEST(Token, cannot_write_header_lines) {
  const auto token = parse_token(R"({"token":"a\r\nX-Evil: 1"})", "the service");
  ASSERT_FALSE(token);
  EXPECT_THAT(token.error().text(), HasSubstr("the service: has no token"));
  EXPECT_FALSE(parse_token("[]", "t"));
  EXPECT_FALSE(parse_token(R"({"token":5})", "t"));
}

}  // namespace
}  // namespace vrun::images
