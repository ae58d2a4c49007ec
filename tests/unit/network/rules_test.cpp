#include "network/rules.hpp"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::network {
namespace {

using testing::HasSubstr;

RuledPorts ruled(std::string_view port, bool ipv6 = true) {
  RuledPorts out{*parse_publish(port), *parse_ipv4("10.160.0.2"), std::nullopt};
  if (ipv6) out.to6 = parse_ipv6("fd00::2");
  return out;
}

std::string added(std::string_view port, bool ipv6 = true) {
  const std::array all{ruled(port, ipv6)};
  return add_ports_text(all);
}

TEST(Rules, of_a_network_are_elements) {
  const Subnet4 subnet4 = *parse_subnet4("10.160.0.0/22");
  EXPECT_EQ(add_network_text({"vr-1", false, subnet4, parse_subnet6("fd00::/64")}),
            "add element inet vrun bridges { \"vr-1\" }\n"
            "add element inet vrun within { \"vr-1\" . \"vr-1\" }\n"
            "add element inet vrun onlink4 { \"vr-1\" . 10.160.0.0/22 }\n"
            "add element inet vrun onlink6 { \"vr-1\" . fd00::/64 }\n");
  EXPECT_EQ(remove_network_text({"vr-1", true, subnet4, std::nullopt}),
            "delete element inet vrun bridges { \"vr-1\" }\n"
            "delete element inet vrun within { \"vr-1\" . \"vr-1\" }\n"
            "delete element inet vrun onlink4 { \"vr-1\" . 10.160.0.0/22 }\n"
            "delete element inet vrun internal { \"vr-1\" }\n");
}

TEST(Rules, of_a_port_on_all_addresses_are_for_both_families) {
  EXPECT_EQ(added("8080:80"),
            "add element inet vrun any4 { tcp . 8080 : 10.160.0.2 . 80 }\n"
            "add element inet vrun any6 { tcp . 8080 : fd00::2 . 80 }\n");
  EXPECT_EQ(added("8080:80", false),
            "add element inet vrun any4 { tcp . 8080 : 10.160.0.2 . 80 }\n");
  EXPECT_EQ(added("0.0.0.0:8080:80"),
            "add element inet vrun any4 { tcp . 8080 : 10.160.0.2 . 80 }\n");
}

TEST(Rules, of_a_port_on_one_address_name_it) {
  EXPECT_EQ(added("127.0.0.1:53:5353/udp"),
            "add element inet vrun at4 { 127.0.0.1 . udp . 53 : 10.160.0.2 . 5353 }\n");
  EXPECT_EQ(added("[2001:db8::1]:53:53"),
            "add element inet vrun at6 { 2001:db8::1 . tcp . 53 : fd00::2 . 53 }\n");
}

TEST(Rules, of_a_range_are_one_change) {
  EXPECT_EQ(added("0.0.0.0:8000-8002:80-82"),
            "add element inet vrun any4 { tcp . 8000 : 10.160.0.2 . 80, tcp . 8001 : 10.160.0.2 . "
            "81, tcp . 8002 : 10.160.0.2 . 82 }\n");
  const std::array all{ruled("0.0.0.0:8000-8001:80-81")};
  EXPECT_EQ(remove_ports_text(all), "delete element inet vrun any4 { tcp . 8000, tcp . 8001 }\n");
}

TEST(Rules, are_one_table_and_name_no_other) {
  const std::array networks{
      RuledNetwork{"vr-1", false, *parse_subnet4("10.160.0.0/22"), std::nullopt}};
  const std::array ports{ruled("8080:80")};
  const std::string text = table_text(networks, ports);
  EXPECT_THAT(text, testing::StartsWith("add table inet vrun\ndelete table inet vrun\n"
                                        "table inet vrun {\n  set bridges"));
  EXPECT_THAT(text, HasSubstr("add element inet vrun bridges { \"vr-1\" }\n"));
  EXPECT_THAT(text, HasSubstr("add element inet vrun any6 { tcp . 8080 : fd00::2 . 80 }\n"));
  for (std::size_t at = text.find("table "); at != std::string::npos;
       at = text.find("table ", at + 1)) {
    EXPECT_EQ(text.substr(at, 15), "table inet vrun");
  }
}

// The priorities are a promise to firewalls (docs/networks.md).
TEST(Rules, have_the_documented_priorities) {
  const std::array networks{
      RuledNetwork{"vr-1", false, *parse_subnet4("10.160.0.0/22"), std::nullopt}};
  const std::string text = table_text(networks, {});
  for (const char* hook :
       {"filter hook prerouting priority raw", "nat hook prerouting priority dstnat",
        "nat hook output priority -100", "filter hook forward priority filter",
        "nat hook postrouting priority srcnat"}) {
    EXPECT_THAT(text, HasSubstr(hook));
  }
}

TEST(PacketLimits, are_a_table_that_goes_with_the_last) {
  EXPECT_EQ(packet_limits_text({}), "add table bridge vrun\ndelete table bridge vrun\n");
  const std::array limits{PacketLimit{"ve0a000002", 20}, PacketLimit{"ve0a000003", 4000}};
  const std::string text = packet_limits_text(limits);
  EXPECT_THAT(text, testing::StartsWith("add table bridge vrun\ndelete table bridge vrun\n"));
  EXPECT_THAT(text, HasSubstr("limit s-ve0a000002 { rate over 20/second burst 5 packets; }"));
  EXPECT_THAT(text, HasSubstr("limit r-ve0a000003 { rate over 4000/second burst 200 packets; }"));
  EXPECT_THAT(text,
              HasSubstr("add element bridge vrun receives { \"ve0a000003\" : r-ve0a000003 }"));
}

TEST(Rules, without_networks_are_gone) {
  EXPECT_EQ(table_text({}, {}), "add table inet vrun\ndelete table inet vrun\n");
}

}  // namespace
}  // namespace vrun::network
