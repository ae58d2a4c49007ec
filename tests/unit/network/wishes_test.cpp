#include "network/wishes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"

namespace vrun::network {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string published(std::string_view text) {
  const auto port = parse_publish(text);
  return port ? to_text(*port) : "error: " + port.error().text();
}

TEST(Publish, has_the_forms_of_docker) {
  EXPECT_EQ(published("80"), "80/tcp");
  EXPECT_EQ(published("8080:80"), "8080->80/tcp");
  EXPECT_EQ(published("0:80"), "80/tcp");  // a free one, as without any
  EXPECT_EQ(published("8080:80/udp"), "8080->80/udp");
  EXPECT_EQ(published("127.0.0.1:8080:80"), "127.0.0.1:8080->80/tcp");
  EXPECT_EQ(published("127.0.0.1::80"), "127.0.0.1:80/tcp");
  EXPECT_EQ(published("[::1]:8080:80"), "[::1]:8080->80/tcp");
  EXPECT_EQ(published("8000-8010:80-90"), "8000-8010->80-90/tcp");
  EXPECT_EQ(published("8000-8010"), "8000-8010/tcp");
}

TEST(Publish, says_what_is_wrong) {
  EXPECT_THAT(published(""), HasSubstr("'' is not a port"));
  EXPECT_THAT(published("0-1:80-81"), HasSubstr("'0-1' is not a port or a range"));
  EXPECT_THAT(published("80:65536"), HasSubstr("'65536' is not a port"));
  EXPECT_THAT(published("80:http"), HasSubstr("'http' is not a port"));
  EXPECT_THAT(published("80/sctp"), HasSubstr("no such protocol: 'sctp'"));
  EXPECT_THAT(published("8000-8002:80-81"), HasSubstr("the ranges differ in length"));
  EXPECT_THAT(published("90-80"), HasSubstr("'90-80' is not a port"));
  EXPECT_THAT(published("localhost:80:80"), HasSubstr("'localhost' is not an address"));
  EXPECT_THAT(published("[::1:80:80"), HasSubstr("no ']:'"));
}

TEST(Publish, without_an_address_is_for_both_families) {
  EXPECT_TRUE(parse_publish("80:80")->on_ipv4() && parse_publish("80:80")->on_ipv6());
  EXPECT_FALSE(parse_publish("0.0.0.0:80:80")->on_ipv6());
  EXPECT_FALSE(parse_publish("[::]:80:80")->on_ipv4());
}

TEST(Mode, is_the_default_network_without_a_flag) {
  const auto mode = parse_mode({});
  ASSERT_TRUE(mode);
  EXPECT_EQ(mode->kind, Mode::Kind::kNetworks);
  EXPECT_EQ(mode->joins.at(0).network, "default");
  EXPECT_EQ(parse_mode({"bridge"})->joins.at(0).network, "default");
}

TEST(Mode, knows_the_words_that_are_no_networks) {
  EXPECT_EQ(parse_mode({"none"})->kind, Mode::Kind::kNone);
  EXPECT_EQ(parse_mode({"host"})->kind, Mode::Kind::kHost);
  const auto mode = parse_mode({"container:web"});
  EXPECT_EQ(mode->kind, Mode::Kind::kContainer);
  EXPECT_EQ(mode->container, "web");
}

TEST(Mode, joins_several_networks_but_nothing_with_host) {
  EXPECT_EQ(parse_mode({"a", "b"})->joins.size(), 2U);
  EXPECT_THAT(parse_mode({"a", "host"}).error().text(), HasSubstr("cannot be joined"));
  EXPECT_THAT(parse_mode({"a", "a:ip=10.0.0.1"}).error().text(), HasSubstr("given twice"));
  EXPECT_THAT(parse_mode({"container:"}).error().text(), HasSubstr("names no guest"));
}

TEST(Join, takes_addresses_and_aliases) {
  const auto join =
      parse_join("web:ip=10.1.2.3,ip6=fd00::3,mac=02:00:00:00:00:01,alias=db,alias=x");
  ASSERT_TRUE(join);
  EXPECT_EQ(to_text(*join->ipv4), "10.1.2.3");
  EXPECT_EQ(to_text(*join->ipv6), "fd00::3");
  EXPECT_EQ(to_text(*join->mac), "02:00:00:00:00:01");
  EXPECT_THAT(join->aliases, ElementsAre("db", "x"));
  EXPECT_EQ(to_text(*parse_join("web:ip=fd00::4")->ipv6), "fd00::4");
}

TEST(Join, says_what_is_wrong) {
  EXPECT_THAT(parse_join("web:ip=10.1").error().text(), HasSubstr("'10.1' is not an address"));
  EXPECT_THAT(parse_join("web:mac=03:00:00:00:00:01").error().text(), HasSubstr("one host"));
  EXPECT_THAT(parse_join("web:port=3").error().text(), HasSubstr("no such option: 'port'"));
  EXPECT_THAT(parse_join("web:ip").error().text(), HasSubstr("has no value"));
  EXPECT_THAT(parse_join("../x").error().text(), HasSubstr("not a network's name"));
  EXPECT_THAT(parse_join("web:alias=a b").error().text(), HasSubstr("not a host name"));
}

TEST(Rate, is_bits_per_second_in_thousands) {
  EXPECT_EQ(*parse_rate("--bandwidth-in", "100M"), 100'000'000U);
  EXPECT_EQ(*parse_rate("--bandwidth-in", "8k"), 8000U);
  EXPECT_EQ(*parse_rate("--bandwidth-in", "64K"), 64000U);
  EXPECT_EQ(*parse_rate("--bandwidth-in", "1000g"), 1'000'000'000'000U);
  EXPECT_EQ(*parse_rate("--bandwidth-in", "9600"), 9600U);
  for (const char* text :
       {"", "M", "-1", "1.5M", "7999", "1001G", "100Mbit", "99999999999999999999G"}) {
    EXPECT_THAT(parse_rate("--bandwidth-in", text).error().text(),
                HasSubstr("--bandwidth-in " + quote(text) + ": not a rate from 8k"));
  }
}

TEST(Packets, are_a_number_a_second) {
  EXPECT_EQ(*parse_packets("--network-pps", "1"), 1U);
  EXPECT_EQ(*parse_packets("--network-pps", "100000000"), 100'000'000U);
  for (const char* text : {"", "0", "-1", "5k", "1.5", "100000001"}) {
    EXPECT_THAT(parse_packets("--network-pps", text).error().text(),
                HasSubstr("--network-pps " + quote(text) + ": not from 1 to"));
  }
}

TEST(ExtraHost, is_a_name_and_an_address) {
  EXPECT_EQ(parse_extra_host("db:10.0.0.1")->address, "10.0.0.1");
  EXPECT_EQ(parse_extra_host("db:fd00::1")->address, "fd00::1");
  EXPECT_EQ(parse_extra_host("db=[fd00::1]")->address, "fd00::1");
  EXPECT_EQ(parse_extra_host("db:host-gateway")->address, "host-gateway");
  EXPECT_THAT(parse_extra_host("db").error().text(), HasSubstr("no address"));
  EXPECT_THAT(parse_extra_host("db:other").error().text(), HasSubstr("'other' is not an address"));
  // A line of its own in the hosts file would be somebody else's name.
  EXPECT_FALSE(parse_extra_host("db\n1.2.3.4 bank:10.0.0.1"));
}

}  // namespace
}  // namespace vrun::network
