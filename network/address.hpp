// Addresses and subnets as values: text in, text out, arithmetic in between. No name is resolved.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vrun::network {

struct Ipv4 {
  std::uint32_t bits = 0;  // host byte order
  auto operator<=>(const Ipv4&) const = default;
};

struct Ipv6 {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Ipv6&) const = default;
};

struct Mac {
  std::array<std::uint8_t, 6> bytes{};
  auto operator<=>(const Mac&) const = default;
};

struct Subnet4 {
  Ipv4 base;
  unsigned prefix = 32;
  auto operator<=>(const Subnet4&) const = default;

  // Addresses for hosts lie between the network's own (0) and the broadcast address.
  std::uint64_t size() const { return 1ULL << (32U - prefix); }
  Ipv4 at(std::uint32_t number) const { return {base.bits + number}; }
  bool contains(Ipv4 address) const;
  bool overlaps(const Subnet4& other) const;
};

struct Subnet6 {
  Ipv6 base;
  unsigned prefix = 128;
  auto operator<=>(const Subnet6&) const = default;

  Ipv6 at(std::uint32_t number) const;  // `number` in the last 32 bits
  bool contains(const Ipv6& address) const;
  bool overlaps(const Subnet6& other) const;
};

// Whole texts only; a subnet's bits beyond its prefix must be zero.
std::optional<Ipv4> parse_ipv4(std::string_view text);
std::optional<Ipv6> parse_ipv6(std::string_view text);
std::optional<Mac> parse_mac(std::string_view text);
std::optional<Subnet4> parse_subnet4(std::string_view text);
std::optional<Subnet6> parse_subnet6(std::string_view text);

std::string to_text(Ipv4 address);
std::string to_text(const Ipv6& address);
std::string to_text(const Mac& mac);
std::string to_text(const Subnet4& subnet);
std::string to_text(const Subnet6& subnet);

// The hardware address that belongs to an IPv4 address: locally administered, and the same again
// when a guest comes back to its address, so that the neighbours' caches stay true.
Mac mac_of(Ipv4 address);

}  // namespace vrun::network
