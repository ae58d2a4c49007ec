// Which subnets networks get, and which addresses guests get: pure choices, no files.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/result.hpp"
#include "network/address.hpp"

namespace vrun::network {

// 10.160.0.0/12 in pieces of /22: 1024 networks of 1021 guests each, about as many as a bridge of
// Linux has ports (1023). Neither Docker (172.16.0.0/12), Podman (10.88.0.0/14) nor Kubernetes
// (10.96.0.0/12) hands these out by itself.
inline constexpr Subnet4 kPool4{{0x0AA00000U}, 12};
inline constexpr unsigned kPoolPrefix4 = 22;
inline constexpr unsigned kPrefix6 = 64;

// The first piece that overlaps none of `used` (other networks, and what the host routes).
Result<Subnet4> choose_subnet(std::span<const Subnet4> used);

// The /64 that goes with a piece of the pool: below the host's ULA prefix (RFC 4193) of 48 bits,
// numbered as the piece is. Other IPv4 subnets get numbers from 0x8000 up, by their base address.
Subnet6 subnet6_for(const Ipv6& ula, const Subnet4& subnet);

// A prefix fdXX:XXXX:XXXX::/48 of 40 random bits.
Ipv6 make_ula(std::span<const std::uint8_t, 5> random);

// The first free number of a host from `start` on, going round: not 0, not the broadcast address,
// not the gateway. Empty when all are taken.
std::optional<std::uint32_t> choose_host(const Subnet4& subnet, Ipv4 gateway, std::uint32_t start,
                                         const std::function<bool(std::uint32_t)>& is_taken);

// May a network have this subnet and gateway? Errors name the value.
Result<void> check_subnet(const Subnet4& subnet, Ipv4 gateway);
Result<void> check_subnet(const Subnet6& subnet, const Ipv6& gateway);
// May a guest have this address there?
Result<void> check_address(const Subnet4& subnet, Ipv4 gateway, Ipv4 address);
Result<void> check_address(const Subnet6& subnet, const Ipv6& gateway, const Ipv6& address);

}  // namespace vrun::network
