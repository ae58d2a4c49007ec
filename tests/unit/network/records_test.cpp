#include "network/records.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/fs.hpp"
#include "base/sys.hpp"

namespace vrun::network {
namespace {

using testing::ElementsAre;

class RecordsTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(dir_.data()), nullptr); }
  void TearDown() override { ASSERT_TRUE(fs::remove_tree(At::cwd(), dir_)); }
  Records records() const { return Records({dir_ + "/data", dir_ + "/run"}); }
  std::string dir_ = "/tmp/vrun-records.XXXXXX";
};

Network web() {
  Network network;
  network.tenant = "default";
  network.name = "web";
  network.bridge = "vr-00000001";
  network.subnet4 = *parse_subnet4("10.160.0.0/22");
  network.gateway4 = *parse_ipv4("10.160.0.1");
  network.subnet6 = parse_subnet6("fd00::/64");
  network.gateway6 = *parse_ipv6("fd00::1");
  network.labels = {{"a", "b"}};
  return network;
}

TEST_F(RecordsTest, give_a_network_back_as_it_was) {
  const Network saved = web();
  ASSERT_TRUE(records().save(saved));
  const auto read = *records().network("default", "web");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->subnet4, saved.subnet4);
  EXPECT_EQ(read->subnet6, saved.subnet6);
  EXPECT_EQ(read->gateway6, saved.gateway6);
  EXPECT_EQ(read->labels, saved.labels);
  EXPECT_EQ(records().all_networks()->size(), 1U);
  EXPECT_FALSE(*records().network("other", "web"));
  ASSERT_TRUE(records().remove(saved));
  EXPECT_FALSE(*records().network("default", "web"));
}

TEST_F(RecordsTest, give_a_guest_back_as_it_was) {
  GuestRecord saved;
  saved.net.tenant = "default";
  saved.net.guest = "g";
  Endpoint endpoint;
  endpoint.network = "web";
  endpoint.bridge = "vr-00000001";
  endpoint.interface = "eth0";
  endpoint.host_side = "ve0aa00002";
  endpoint.ipv4 = *parse_ipv4("10.160.0.2");
  endpoint.prefix4 = 22;
  endpoint.ipv6 = parse_ipv6("fd00::2");
  endpoint.mac = mac_of(endpoint.ipv4);
  endpoint.aliases = {"www"};
  saved.net.endpoints = {endpoint};
  saved.net.ports = {*parse_publish("127.0.0.1:8000-8001:80-81/udp")};
  saved.net.bandwidth = {1000, 2000};
  saved.past.in_bytes = 7;
  ASSERT_TRUE(records().save(saved));
  const auto read = *records().guest("default", "g");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->net, saved.net);
  EXPECT_EQ(read->past, saved.past);
}

TEST_F(RecordsTest, lease_an_address_once) {
  ASSERT_TRUE(records().lease("vr-1", "10.0.0.2", "default/a"));
  const auto again = records().lease("vr-1", "10.0.0.2", "default/b");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kExists);
  EXPECT_EQ(*records().owner("vr-1", "10.0.0.2"), "default/a");
  EXPECT_THAT(*records().leases("vr-1"), ElementsAre("10.0.0.2"));
  ASSERT_TRUE(records().release("vr-1", "10.0.0.2"));
  EXPECT_TRUE(records().lease("vr-1", "10.0.0.2", "default/b"));
}

TEST_F(RecordsTest, lease_a_port_once_for_each_address) {
  ASSERT_TRUE(records().lease_port({Protocol::kUdp, 53, "::1", "default/a"}));
  EXPECT_FALSE(records().lease_port({Protocol::kUdp, 53, "::1", "default/b"}));
  EXPECT_TRUE(records().lease_port({Protocol::kTcp, 53, "::1", "default/b"}));
  const auto all = *records().port_leases();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[1].protocol, Protocol::kUdp);
  EXPECT_EQ(all[1].port, 53);
  EXPECT_EQ(all[1].address, "::1");
  EXPECT_EQ(*records().port_owner(all[1]), "default/a");
}

TEST_F(RecordsTest, make_the_prefix_of_the_host_once) {
  const Ipv6 first = *records().ula();
  EXPECT_EQ(first.bytes[0], 0xFD);
  EXPECT_EQ(*records().ula(), first);
}

TEST_F(RecordsTest, that_are_damaged_are_named) {
  ASSERT_TRUE(fs::make_dirs(At::cwd(), dir_ + "/data/networks/default", 0700));
  const Fd dir = *sys::open_dir(At::cwd(), dir_ + "/data/networks/default");
  ASSERT_TRUE(fs::replace_file(dir, "x.json",
                               R"({"version":1,"tenant":"default","name":"x",)"
                               R"("bridge":"b","subnet":"10.0.0.1/24","gateway":3})"));
  const auto read = records().networks("default");
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().text(), testing::HasSubstr("subnet: is not an IPv4 subnet"));
  EXPECT_THAT(read.error().text(), testing::HasSubstr("x.json"));
}

}  // namespace
}  // namespace vrun::network
