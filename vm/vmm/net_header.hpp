// What a driver says in front of a frame that it sends (Virtual I/O Device 1.2, section 5.1.6),
// before it reaches the host's kernel.
#pragma once

#include <cstdint>

#include <linux/if_ether.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
// It is written for C only (6.1): a member is called `class`.
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wkeyword-macro"
#endif
#define class command_class
#include <linux/virtio_net.h>
#undef class
#ifdef __clang__
#pragma clang diagnostic pop
#endif

namespace vrun::vmm {

// In front of each frame, in both directions: the header with the number of buffers, which
// VIRTIO_F_VERSION_1 brings.
inline constexpr std::uint64_t kNetHeader = sizeof(virtio_net_hdr_mrg_rxbuf);
inline constexpr std::uint64_t kEthernetHeader = 14;
// The largest frame that segmentation makes: an IP packet of 64 KiB behind an Ethernet header with
// a VLAN's tag.
inline constexpr std::uint64_t kMostFrame = 65535 + kEthernetHeader + 4;

// The header as the host's kernel may have it: only what was negotiated (`features`) and what fits
// a frame of `frame` bytes. False: the frame is dropped.
bool check_sent_header(virtio_net_hdr_mrg_rxbuf& header, std::uint64_t frame,
                       std::uint64_t features);

}  // namespace vrun::vmm
