#include "namespaces/id_maps.hpp"

#include <gtest/gtest.h>

namespace vrun::namespaces {
namespace {

Host user(std::uint32_t id) {
  Host host;
  host.euid = Uid(id);
  host.egid = Gid(id);
  return host;
}

TEST(IdMaps, one_line_a_range) {
  EXPECT_EQ(to_map_text({{0, 1000, 1}, {1, 100000, 65536}}), "0 1000 1\n1 100000 65536\n");
}

TEST(IdMaps, setgroups_is_denied_only_for_an_unprivileged_map_of_the_own_group) {
  EXPECT_TRUE(denies_setgroups({{0, 1000, 1}}, user(1000)));
  EXPECT_FALSE(denies_setgroups({{0, 1000, 1}, {1, 100000, 65536}}, user(1000)));
  EXPECT_FALSE(denies_setgroups({{0, 2000, 1}}, user(1000)));
  EXPECT_FALSE(denies_setgroups({{0, 0, 1}}, user(0)));
}

}  // namespace
}  // namespace vrun::namespaces
