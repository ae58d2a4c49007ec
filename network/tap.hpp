// Interfaces of a network namespace as the network cards of a virtual machine.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/result.hpp"
#include "network/address.hpp"

namespace vrun::network {

// A card: what goes into the tap (tun.rst; IFF_VNET_HDR, no IFF_NO_PI header) is as if the
// interface had sent it. It lives as long as its descriptor.
struct Tap {
  Fd fd;
  Mac mac;  // of the interface: the card is to have the same
  std::uint32_t mtu = 0;
};

// Makes a tap called `name` in `netns` and joins it with `interface` there to one wire: whatever
// holds for the interface on the host's side (address, ports, limits, walls) holds for the card.
// The namespace's own protocols see nothing any more, and IPv6, which speaks unasked, is off there.
Result<Tap> make_tap(const Host& host, int netns, const std::string& interface,
                     const std::string& name);

// Where there are taps already: the next interface of the namespace can have addresses of IPv6,
// until a tap is joined with it.
Result<void> prepare_for_more(const Host& host, int netns);

}  // namespace vrun::network
