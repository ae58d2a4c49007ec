#include "vm/vmm/net_header.hpp"

namespace vrun::vmm {
namespace {

bool has(std::uint64_t features, unsigned bit) {
  return (features >> bit & 1U) != 0;
}

// The feature that a kind of segmentation needs; -1 for a kind that there is not.
int feature_of(unsigned type) {
  switch (type) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
      return VIRTIO_NET_F_HOST_TSO4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
      return VIRTIO_NET_F_HOST_TSO6;
    default:
      return -1;
  }
}

bool check_segmentation(const virtio_net_hdr& header, std::uint64_t frame, std::uint64_t features) {
  if (header.gso_type == VIRTIO_NET_HDR_GSO_NONE) return true;
  const bool congestion = (header.gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0;
  if (congestion && !has(features, VIRTIO_NET_F_HOST_ECN)) return false;
  const int needed = feature_of(header.gso_type & ~unsigned{VIRTIO_NET_HDR_GSO_ECN});
  if (needed < 0 || !has(features, static_cast<unsigned>(needed))) return false;
  // Each segment needs a sum of its own; hdr_len is a hint, but for a kernel that believes it.
  return (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0 && header.gso_size != 0 &&
         header.hdr_len >= kEthernetHeader && header.hdr_len <= frame;
}

}  // namespace

bool check_sent_header(virtio_net_hdr_mrg_rxbuf& header, std::uint64_t frame,
                       std::uint64_t features) {
  virtio_net_hdr& plain = header.hdr;
  header.num_buffers = 0;
  if (frame < kEthernetHeader || frame > kMostFrame) return false;
  plain.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;  // the others are for frames that go to the driver
  if (!check_segmentation(plain, frame, features)) return false;
  if (plain.gso_type == VIRTIO_NET_HDR_GSO_NONE) plain.gso_size = plain.hdr_len = 0;
  if (plain.flags == 0) {
    plain.csum_start = plain.csum_offset = 0;
    return true;
  }
  return has(features, VIRTIO_NET_F_CSUM) && plain.csum_start >= kEthernetHeader &&
         std::uint64_t{plain.csum_start} + plain.csum_offset + 2 <= frame;
}

}  // namespace vrun::vmm
