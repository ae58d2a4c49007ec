#include "tenants/admins.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::tenants {
namespace {

using testing::HasSubstr;

const Accounts kAccounts{
    "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nbroken line\n"
    ":x:5:5::/:\nbob:x:1001:1001::/home/bob:/bin/sh\n",
    "root:x:0:\nops:x:2000:bob\n"};

std::string faults_of(const std::vector<std::string>& admins) {
  json::Faults faults("tenant 'a'");
  check_admins(admins, kAccounts, faults);
  return faults.empty() ? "" : faults.error().text();
}

TEST(AdminsTest, users_and_groups_are_looked_up) {
  EXPECT_EQ(faults_of({"user:alice", "group:ops"}), "");
  EXPECT_THAT(faults_of({"user:alcie"}), HasSubstr("did you mean 'alice'?"));
  EXPECT_THAT(faults_of({"group:alice"}), HasSubstr("no such group 'alice' in /etc/group"));
}

TEST(AdminsTest, other_forms_are_refused) {
  for (const char* text : {"", "alice", "user:", ":alice", "User:alice", "user: alice", "user:*"})
    EXPECT_NE(faults_of({text}), "") << text;
}

TEST(AdminsTest, a_user_is_known_by_uid_and_a_group_by_the_callers_own_list) {
  const std::vector<std::string> admins{"user:alice", "group:ops"};
  const std::vector<Gid> none, ops{Gid(2000)};
  EXPECT_TRUE(is_admin(admins, kAccounts, Uid(1000), none));
  EXPECT_FALSE(is_admin(admins, kAccounts, Uid(1001), none));  // in the file, not in the process
  EXPECT_TRUE(is_admin(admins, kAccounts, Uid(1001), ops));
  EXPECT_FALSE(is_admin({}, kAccounts, Uid(1000), ops));
}

TEST(AdminsTest, a_user_without_a_name_is_a_number) {
  EXPECT_EQ(user_name(kAccounts, Uid(1000)), "alice");
  EXPECT_EQ(user_name(kAccounts, Uid(77)), "77");
}

}  // namespace
}  // namespace vrun::tenants
