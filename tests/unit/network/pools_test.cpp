#include "network/pools.hpp"

#include <array>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::network {
namespace {

using testing::HasSubstr;

Subnet4 net(const char* text) {
  return *parse_subnet4(text);
}

TEST(Pool, gives_the_first_piece_that_nobody_uses) {
  EXPECT_EQ(to_text(*choose_subnet({})), "10.160.0.0/22");
  const std::array used{net("10.160.0.0/22"), net("10.160.5.0/24"), net("192.168.0.0/16")};
  EXPECT_EQ(to_text(*choose_subnet(used)), "10.160.8.0/22");
}

TEST(Pool, that_is_used_up_says_so) {
  const std::array all{net("10.0.0.0/8")};
  const auto chosen = choose_subnet(all);
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().text(), "choose a subnet: all of 10.160.0.0/12 is taken");
  EXPECT_THAT(chosen.error().hint(), HasSubstr("network prune"));
}

TEST(Pool, numbers_ipv6_subnets_as_the_pieces) {
  const std::array<std::uint8_t, 5> random{1, 2, 3, 4, 5};
  const Ipv6 ula = make_ula(random);
  EXPECT_EQ(to_text(ula), "fd01:203:405::");
  EXPECT_EQ(to_text(subnet6_for(ula, net("10.160.0.0/22"))), "fd01:203:405::/64");
  EXPECT_EQ(to_text(subnet6_for(ula, net("10.160.8.0/22"))), "fd01:203:405:2::/64");
  EXPECT_NE(subnet6_for(ula, net("10.1.0.0/24")), subnet6_for(ula, net("10.2.0.0/24")));
  EXPECT_GE(subnet6_for(ula, net("10.1.0.0/24")).base.bytes[6], 0x80);  // never a piece's number
}

TEST(Hosts, are_given_one_after_the_other_and_round) {
  const Subnet4 small = net("10.0.0.0/29");  // 1 to 6
  const Ipv4 gateway = small.at(1);
  const auto none = [](std::uint32_t) { return false; };
  EXPECT_EQ(choose_host(small, gateway, 1, none), 2U);
  EXPECT_EQ(choose_host(small, gateway, 5, none), 5U);
  EXPECT_EQ(choose_host(small, gateway, 7, none), 2U);
  const std::set<std::uint32_t> taken{5, 6, 2};
  EXPECT_EQ(choose_host(small, gateway, 5, [&](std::uint32_t n) { return taken.contains(n); }), 3U);
  EXPECT_FALSE(choose_host(small, gateway, 3, [](std::uint32_t) { return true; }));
}

TEST(Subnets, that_no_network_can_have_are_refused) {
  const auto why = [](const char* subnet, const char* gateway) {
    const auto checked = check_subnet(net(subnet), *parse_ipv4(gateway));
    return checked ? "fine" : checked.error().text();
  };
  EXPECT_EQ(why("10.0.0.0/24", "10.0.0.1"), "fine");
  EXPECT_THAT(why("10.0.0.0/31", "10.0.0.1"), HasSubstr("not from 8 to 30"));
  EXPECT_THAT(why("127.0.0.0/24", "127.0.0.1"), HasSubstr("not addresses of hosts"));
  EXPECT_THAT(why("224.0.0.0/24", "224.0.0.1"), HasSubstr("not addresses of hosts"));
  EXPECT_THAT(why("10.0.0.0/24", "10.0.1.1"), HasSubstr("not in the network's subnet"));
  EXPECT_THAT(why("10.0.0.0/24", "10.0.0.255"), HasSubstr("broadcast"));
}

TEST(Addresses, that_no_guest_can_have_are_refused) {
  const Subnet4 subnet = net("10.0.0.0/24");
  const auto why = [&](const char* address) {
    const auto checked = check_address(subnet, subnet.at(1), *parse_ipv4(address));
    return checked ? "fine" : checked.error().text();
  };
  EXPECT_EQ(why("10.0.0.9"), "fine");
  EXPECT_THAT(why("10.0.1.9"), HasSubstr("not in the network's subnet 10.0.0.0/24"));
  EXPECT_THAT(why("10.0.0.0"), HasSubstr("the subnet's own"));
  EXPECT_THAT(why("10.0.0.1"), HasSubstr("the gateway"));
  EXPECT_THAT(why("10.0.0.255"), HasSubstr("the broadcast address"));
}

}  // namespace
}  // namespace vrun::network
