#include "engine/rootless.hpp"

#include <gtest/gtest.h>

#include "base/host.hpp"
#include "namespaces/id_maps.hpp"

namespace vrun::engine {
namespace {

std::string text(const std::vector<oci::IdMapping>& maps) {
  return namespaces::to_map_text(maps);
}

TEST(Rootless, root_is_the_user_and_ranges_follow_by_name_or_number) {
  EXPECT_EQ(text(user_mappings("me:100000:65536\n", "me", 1000, 1000)),
            "0 1000 1\n1 100000 65536\n");
  EXPECT_EQ(text(user_mappings("other:5:5\n1000:100000:10\nme:300000:20\n", "me", 1000, 50)),
            "0 50 1\n1 100000 10\n11 300000 20\n");
}

TEST(Rootless, lines_that_make_no_sense_are_passed_over) {
  EXPECT_EQ(text(user_mappings("me:x:1\nme:1\nme:5:0\nme:4294967290:100\n\n", "me", 7, 7)),
            "0 7 1\n");
  EXPECT_EQ(text(user_mappings(":9:9\n", "", 7, 7)), "0 7 1\n") << "no name is nobody's name";
}

TEST(Rootless, the_name_of_a_user_is_in_passwd) {
  const char* passwd = "root:x:0:0::/:/bin/sh\nbad\nme:x:1000:1000::/home:/bin/sh\n";
  EXPECT_EQ(name_of_user(passwd, 1000), "me");
  EXPECT_EQ(name_of_user(passwd, 5), "");
}

TEST(Rootless, a_guest_has_the_ids_of_the_namespace_in_its_pieces) {
  const char* map = "         0       1000          1\n         1     100000      65536\n";
  EXPECT_EQ(text(namespace_ids(map, map)), "0 0 1\n1 1 65536\n");
  EXPECT_EQ(text(namespace_ids("0 1000 1\n1 100000 10\n11 5 5\n", "0 1000 1\n1 100000 12\n")),
            "0 0 1\n1 1 10\n11 11 2\n")
      << "as many as both have, cut where either is cut";
  EXPECT_EQ(text(namespace_ids("0 7 1\n", "0 7 1\n")), "0 0 1\n");
}

TEST(Rootless, ids_are_counted_up_to_the_first_gap) {
  EXPECT_EQ(ids_in_map("         0          0 4294967295\n"), 4294967295U);
  EXPECT_EQ(ids_in_map("0 1000 1\n1 100000 65536\n"), 65537U);
  EXPECT_EQ(ids_in_map("0 1000 1\n5 100000 65536\n"), 1U);
  EXPECT_EQ(ids_in_map("7 1000 1\n"), 0U);
}

TEST(Rootless, accounts_must_be_ids_of_the_namespace) {
  Account account;
  account.user.uid = Uid(33);
  Host host;
  EXPECT_TRUE(check_account(account, host)) << "with root every guest has a whole range";
  host.nested_ids = 65537;
  EXPECT_TRUE(check_account(account, host));
  EXPECT_EQ(single_id_warning(host), "");
  host.nested_ids = 1;
  EXPECT_EQ(check_account(account, host).error().code(), Code::kInvalid);
  EXPECT_NE(single_id_warning(host), "");
}

}  // namespace
}  // namespace vrun::engine
