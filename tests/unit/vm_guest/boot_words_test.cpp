#include "vm/guest/boot_words.hpp"

#include <gtest/gtest.h>

namespace vrun::vm {
namespace {

TEST(BootWords, NothingWithoutARoot) {
  const auto words = parse_boot_words("console=ttyS0 quiet panic=-1\n");
  ASSERT_TRUE(words);
  EXPECT_FALSE(*words);
}

TEST(BootWords, TheLastRootCounts) {
  const auto words = parse_boot_words(
      "quiet root=/dev/vda rootfstype=xfs ro rw root=/dev/vda2 rootflags=noatime init=/bin/sh "
      "systemd.hostname=web\n");
  ASSERT_TRUE(words && *words);
  EXPECT_EQ((*words)->root, "/dev/vda2");
  EXPECT_EQ((*words)->type, "xfs");
  EXPECT_EQ((*words)->flags, "noatime");
  EXPECT_EQ((*words)->init, "/bin/sh");
  EXPECT_EQ((*words)->hostname, "web");
  EXPECT_FALSE((*words)->read_only);
}

TEST(BootWords, LabelsAreForAnotherInitramfs) {
  const auto words = parse_boot_words("root=LABEL=system");
  ASSERT_FALSE(words);
  EXPECT_NE(words.error().text().find("LABEL=system"), std::string::npos);
}

TEST(BootWords, AddressesOfBothKindsAndSeveralCards) {
  const auto words = parse_boot_words(
      "root=/dev/vda ifname=eth0:02:00:00:00:00:01 ip=10.0.0.2::10.0.0.1:255.255.254.0::eth0:off "
      "ip=[fd00::2]::[fd00::1]:64::eth0:off ifname=eth1:02:00:00:00:00:02 "
      "ip=10.1.0.2:::255.255.255.255::eth1:off nameserver=10.0.0.1 nameserver=fd00::1");
  ASSERT_TRUE(words && *words);
  const std::vector<NetworkRequest>& cards = (*words)->cards;
  ASSERT_EQ(cards.size(), 2U);
  EXPECT_EQ(cards[0].name, "eth0");
  EXPECT_EQ(cards[0].mac, "02:00:00:00:00:01");
  EXPECT_EQ(cards[0].addresses, (std::vector<std::string>{"10.0.0.2/23", "fd00::2/64"}));
  EXPECT_EQ(cards[0].gateways, (std::vector<std::string>{"10.0.0.1", "fd00::1"}));
  EXPECT_EQ(cards[1].addresses, (std::vector<std::string>{"10.1.0.2/32"}));
  EXPECT_TRUE(cards[1].gateways.empty());
  EXPECT_EQ((*words)->name_servers, (std::vector<std::string>{"10.0.0.1", "fd00::1"}));
}

TEST(BootWords, AddressesThatAreNoneAreRefused) {
  for (const char* word : {"ip=dhcp", "ip=10.0.0.2", "ip=10.0.0.2:::255.0.255.0::eth0:off",
                           "ip=10.0.0.2::10.0.0.1:255.255.255.0", "ip=:::24::eth0:off"}) {
    EXPECT_FALSE(parse_boot_words(std::string("root=/dev/vda ") + word)) << word;
  }
  EXPECT_TRUE(parse_boot_words("root=/dev/vda ifname=x ip="));
}

TEST(BootWords, TheUnitOfNetworkdSaysTheSame) {
  NetworkRequest card;
  card.addresses = {"10.0.0.2/24"};
  card.gateways = {"10.0.0.1"};
  EXPECT_EQ(network_unit_of(card, {"10.0.0.1"}),
            "[Match]\nName=eth0\n\n[Network]\nAddress=10.0.0.2/24\nGateway=10.0.0.1\n"
            "DNS=10.0.0.1\n");
}

}  // namespace
}  // namespace vrun::vm
