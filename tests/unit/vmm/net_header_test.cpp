#include "vm/vmm/net_header.hpp"

#include <cstring>

#include <gtest/gtest.h>

namespace vrun::vmm {
namespace {

constexpr std::uint64_t bit(unsigned feature) {
  return 1ull << feature;
}
constexpr std::uint64_t kAll = bit(VIRTIO_NET_F_CSUM) | bit(VIRTIO_NET_F_HOST_TSO4) |
                               bit(VIRTIO_NET_F_HOST_TSO6) | bit(VIRTIO_NET_F_HOST_ECN);

// A large TCP segment whose sum is the host's to finish.
virtio_net_hdr_mrg_rxbuf large() {
  virtio_net_hdr_mrg_rxbuf header{};
  header.hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  header.hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
  header.hdr.hdr_len = 54;
  header.hdr.gso_size = 1448;
  header.hdr.csum_start = 34;
  header.hdr.csum_offset = 16;
  return header;
}

TEST(NetHeader, what_was_negotiated_goes_through) {
  virtio_net_hdr_mrg_rxbuf header = large();
  EXPECT_TRUE(check_sent_header(header, 9000, kAll));
  EXPECT_EQ(header.hdr.gso_size, 1448);
  EXPECT_TRUE(check_sent_header(header, kMostFrame, kAll));
  header = {};
  EXPECT_TRUE(check_sent_header(header, 60, 0));
}

TEST(NetHeader, what_was_not_negotiated_is_dropped) {
  virtio_net_hdr_mrg_rxbuf header = large();
  EXPECT_FALSE(check_sent_header(header, 9000, kAll & ~bit(VIRTIO_NET_F_HOST_TSO4)));
  EXPECT_FALSE(check_sent_header(header, 9000, kAll & ~bit(VIRTIO_NET_F_CSUM)));
  header.hdr.gso_type = VIRTIO_NET_HDR_GSO_UDP;
  EXPECT_FALSE(check_sent_header(header, 9000, kAll));
  header = large();
  header.hdr.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
  EXPECT_TRUE(check_sent_header(header, 9000, kAll));
  EXPECT_FALSE(check_sent_header(header, 9000, kAll & ~bit(VIRTIO_NET_F_HOST_ECN)));
}

TEST(NetHeader, what_leads_out_of_the_frame_is_dropped) {
  const auto refuses = [](auto change, std::uint64_t frame = 100) {
    virtio_net_hdr_mrg_rxbuf header = large();
    change(header.hdr);
    return !check_sent_header(header, frame, kAll);
  };
  const auto nothing = [](virtio_net_hdr&) {};
  EXPECT_FALSE(refuses(nothing));
  EXPECT_TRUE(refuses(nothing, kEthernetHeader - 1));
  EXPECT_TRUE(refuses(nothing, kMostFrame + 1));
  EXPECT_TRUE(refuses([](virtio_net_hdr& h) { h.csum_start = 83; }));
  EXPECT_TRUE(refuses([](virtio_net_hdr& h) { h.csum_start = 13; }));
  EXPECT_TRUE(refuses([](virtio_net_hdr& h) { h.csum_offset = 0xffff; }));
  EXPECT_TRUE(refuses([](virtio_net_hdr& h) { h.hdr_len = 101; }));
  EXPECT_TRUE(refuses([](virtio_net_hdr& h) { h.hdr_len = 0; }));
  EXPECT_TRUE(refuses([](virtio_net_hdr& h) { h.gso_size = 0; }));
  EXPECT_TRUE(refuses([](virtio_net_hdr& h) { h.flags = 0; }));
}

TEST(NetHeader, what_means_nothing_is_not_handed_on) {
  virtio_net_hdr_mrg_rxbuf header{};
  header.num_buffers = 7;
  header.hdr.flags = VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_RSC_INFO;
  header.hdr.csum_start = header.hdr.csum_offset = header.hdr.hdr_len = header.hdr.gso_size = 9;
  ASSERT_TRUE(check_sent_header(header, 60, kAll));
  const virtio_net_hdr_mrg_rxbuf clean{};
  EXPECT_EQ(std::memcmp(&header, &clean, sizeof clean), 0);
}

}  // namespace
}  // namespace vrun::vmm
