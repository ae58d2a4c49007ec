#include "network/address.hpp"

#include <gtest/gtest.h>

namespace vrun::network {
namespace {

TEST(Address, reads_and_writes_the_same_text) {
  for (const char* text : {"0.0.0.0", "10.160.0.5", "255.255.255.255"}) {
    EXPECT_EQ(to_text(*parse_ipv4(text)), text);
  }
  for (const char* text : {"::", "::1", "fd00:1:2::3"})
    EXPECT_EQ(to_text(*parse_ipv6(text)), text);
  EXPECT_EQ(to_text(*parse_mac("02:AB:0c:00:01:ff")), "02:ab:0c:00:01:ff");
}

TEST(Address, takes_nothing_that_is_not_wholly_one) {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", "host"}) {
    EXPECT_FALSE(parse_ipv4(text)) << text;
  }
  for (const char* text : {"", ":", "fe80::1%eth0", "1::2::3", "12345::"}) {
    EXPECT_FALSE(parse_ipv6(text)) << text;
  }
  for (const char* text : {"", "02:00:00:00:00", "02:00:00:00:00:0g", "2:0:0:0:0:0"}) {
    EXPECT_FALSE(parse_mac(text)) << text;
  }
}

TEST(Subnet, has_no_bits_beyond_its_prefix) {
  EXPECT_TRUE(parse_subnet4("10.0.0.0/8"));
  EXPECT_FALSE(parse_subnet4("10.0.0.1/24"));
  EXPECT_FALSE(parse_subnet4("10.0.0.0"));
  EXPECT_FALSE(parse_subnet4("10.0.0.0/33"));
  EXPECT_FALSE(parse_subnet4("10.0.0.0/08"));
  EXPECT_TRUE(parse_subnet6("fd00:0:0:8000::/49"));
  EXPECT_FALSE(parse_subnet6("fd00:0:0:8000::/48"));
}

TEST(Subnet, knows_what_lies_in_it) {
  const Subnet4 net = *parse_subnet4("10.160.4.0/22");
  EXPECT_EQ(net.size(), 1024U);
  EXPECT_TRUE(net.contains(*parse_ipv4("10.160.7.255")));
  EXPECT_FALSE(net.contains(*parse_ipv4("10.160.8.0")));
  EXPECT_TRUE(net.overlaps(*parse_subnet4("10.160.0.0/16")));
  EXPECT_TRUE(net.overlaps(*parse_subnet4("10.160.5.0/24")));
  EXPECT_FALSE(net.overlaps(*parse_subnet4("10.160.8.0/22")));
  const Subnet6 net6 = *parse_subnet6("fd00:1::/64");
  EXPECT_EQ(to_text(net6.at(0x10203)), "fd00:1::1:203");
  EXPECT_TRUE(net6.contains(net6.at(77)));
  EXPECT_FALSE(net6.overlaps(*parse_subnet6("fd00:1:0:1::/64")));
  EXPECT_TRUE(net6.overlaps(*parse_subnet6("fd00::/16")));
}

TEST(Mac, belongs_to_the_address_and_is_locally_administered) {
  EXPECT_EQ(to_text(mac_of(*parse_ipv4("10.160.0.5"))), "02:76:0a:a0:00:05");
}

}  // namespace
}  // namespace vrun::network
