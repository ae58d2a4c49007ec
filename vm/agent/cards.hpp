// How a guest's network cards come to vrun-vmm: over a SOCK_SEQPACKET socket, one packet a card,
// with the descriptor of its tap; the end of the socket is the end of the list.
//
// They cannot be handed over at the start as other descriptors are: the tap belongs into the
// network namespace of the sandbox, which is made together with the process.
#pragma once

#include <array>
#include <cstdint>

namespace vrun::vm {

inline constexpr unsigned kMostCards = 16;

struct CardMessage {
  std::array<std::uint8_t, 6> mac{};
  std::uint16_t mtu = 0;
};

}  // namespace vrun::vm
