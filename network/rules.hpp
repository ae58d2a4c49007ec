// The nft rules of all networks, as text for one transaction (nft(8)).
//
// One table, inet vrun, holds everything but the limits of packets, which are in the table bridge
// vrun while a guest has one; nothing here names another. Its chains never change, only
// its sets and maps do: a network is an element of `bridges` and of `within`, a published port one
// of a map. Priorities (lower runs first):
//   raw    -300  guard      what guests may not send whatever they say
//   dstnat -100  arriving, leaving   published ports lead to guests
//   filter    0  forward    the wall between networks
//   srcnat  100  departing  guests' addresses are hidden behind the host's
// A drop in any table of the host's own firewall, at any priority, stays a drop: an accept here
// ends only this table's chain. Packets to a published port are forwarded ones, so that firewall
// sees them in its forward chain under the guest's address (ct original proto-dst has the published
// port), or before priority -100 under the host's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "network/address.hpp"
#include "network/wishes.hpp"

namespace vrun::network {

struct RuledNetwork {
  std::string bridge;
  bool internal = false;
  Subnet4 subnet4;
  std::optional<Subnet6> subnet6;
};

struct RuledPorts {
  Publish port;
  Ipv4 to4;
  std::optional<Ipv6> to6;
};

// Replaces the whole table; without networks there is none.
std::string table_text(std::span<const RuledNetwork> networks, std::span<const RuledPorts> ports);
// Changes of a table that is there.
std::string add_network_text(const RuledNetwork& network);
std::string remove_network_text(const RuledNetwork& network);
std::string add_ports_text(std::span<const RuledPorts> ports);
std::string remove_ports_text(std::span<const RuledPorts> ports);

// What may pass the host's end of a guest's interface, each way.
struct PacketLimit {
  std::string interface;
  std::uint64_t per_second = 0;
};
// Replaces the whole table of these limits; without any there is none.
std::string packet_limits_text(std::span<const PacketLimit> limits);

}  // namespace vrun::network
