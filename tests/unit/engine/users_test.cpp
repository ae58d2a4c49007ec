#include "engine/users.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "damaged line\n"
    "huge:x:4294967295:0::/:/bin/sh\n"
    "web:x:33:33:web:/var/www:/bin/sh\n"
    "77:x:1234:5:a name that looks like a number:/home/77:/bin/sh\n";
constexpr const char* kGroup =
    "root:x:0:\nweb:x:33:\nlogs:x:4:web,other\nmail:x:8:web\nown:x:33:web\nbad:x:-1:web\n";

TEST(Users, none_given_is_root) {
  const auto account = find_account("", kPasswd, kGroup);
  ASSERT_TRUE(account);
  EXPECT_EQ(account->user.uid, Uid(0));
  EXPECT_EQ(account->home, "/root");
}

TEST(Users, a_name_brings_group_home_and_further_groups) {
  const auto account = find_account("web", kPasswd, kGroup);
  ASSERT_TRUE(account);
  EXPECT_EQ(account->user.uid, Uid(33));
  EXPECT_EQ(account->user.gid, Gid(33));
  EXPECT_EQ(account->home, "/var/www");
  EXPECT_THAT(account->user.additional_gids, ElementsAre(Gid(4), Gid(8)));
}

TEST(Users, a_known_number_is_that_user_and_an_unknown_one_is_taken_as_it_is) {
  EXPECT_EQ(find_account("33", kPasswd, kGroup)->home, "/var/www");
  const auto unknown = find_account("5000", kPasswd, kGroup);
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->user.uid, Uid(5000));
  EXPECT_EQ(unknown->user.gid, Gid(0));
  EXPECT_EQ(unknown->home, "/");
}

TEST(Users, a_name_that_looks_like_a_number_comes_first) {
  EXPECT_EQ(find_account("77", kPasswd, kGroup)->user.uid, Uid(1234));
}

TEST(Users, an_explicit_group_replaces_the_others) {
  const auto account = find_account("web:mail", kPasswd, kGroup);
  ASSERT_TRUE(account);
  EXPECT_EQ(account->user.gid, Gid(8));
  EXPECT_THAT(account->user.additional_gids, IsEmpty());
  EXPECT_EQ(find_account("1:2", "", "")->user.gid, Gid(2));
}

TEST(Users, unknown_names_and_bad_numbers_are_errors) {
  const auto user = find_account("wbe", kPasswd, kGroup);
  ASSERT_FALSE(user);
  EXPECT_EQ(user.error().text(), "no user 'wbe' in the image");
  EXPECT_THAT(user.error().hint(), HasSubstr("/etc/passwd"));
  EXPECT_THAT(find_account("web:nope", kPasswd, kGroup).error().text(),
              HasSubstr("no group 'nope'"));
  // 2^32-1 is nobody's id and 2^32 must not wrap to root.
  EXPECT_FALSE(find_account("4294967295", kPasswd, kGroup));
  EXPECT_FALSE(find_account("4294967296", kPasswd, kGroup));
  EXPECT_FALSE(find_account("huge", kPasswd, kGroup));
  EXPECT_FALSE(find_account("-1", kPasswd, kGroup));
  EXPECT_FALSE(find_account(":5", kPasswd, kGroup));
  EXPECT_FALSE(find_account("web:", kPasswd, kGroup));
}

}  // namespace
}  // namespace vrun::engine
