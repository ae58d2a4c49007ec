#include "network/address.hpp"

#include <algorithm>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/text.hpp"

namespace vrun::network {
namespace {

std::uint32_t mask4(unsigned prefix) {
  return prefix == 0 ? 0 : ~0U << (32U - prefix);
}

std::uint8_t mask6(unsigned prefix, unsigned byte) {
  if (prefix >= 8 * (byte + 1)) return 0xFF;
  if (prefix <= 8 * byte) return 0;
  return static_cast<std::uint8_t>(0xFFU << (8 * (byte + 1) - prefix));
}

bool agree(const Ipv6& a, const Ipv6& b, unsigned prefix) {
  for (unsigned i = 0; i < 16; ++i) {
    if (((a.bytes[i] ^ b.bytes[i]) & mask6(prefix, i)) != 0) return false;
  }
  return true;
}

std::optional<unsigned> parse_prefix(std::string_view text, unsigned most) {
  const auto number = parse_u64(text);
  if (!number || *number > most || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  return static_cast<unsigned>(*number);
}

std::optional<std::uint8_t> hex_byte(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  if (text.size() != 2) return std::nullopt;
  std::uint8_t value = 0;
  for (const char c : text) {
    const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    const auto digit = kDigits.find(lower);
    if (digit == std::string_view::npos) return std::nullopt;
    value = static_cast<std::uint8_t>(value * 16 + digit);
  }
  return value;
}

}  // namespace

bool Subnet4::contains(Ipv4 address) const {
  return ((address.bits ^ base.bits) & mask4(prefix)) == 0;
}

bool Subnet4::overlaps(const Subnet4& other) const {
  return prefix <= other.prefix ? contains(other.base) : other.contains(base);
}

Ipv6 Subnet6::at(std::uint32_t number) const {
  Ipv6 out = base;
  for (unsigned i = 0; i < 4; ++i) {
    out.bytes[15 - i] = static_cast<std::uint8_t>(out.bytes[15 - i] | ((number >> (8 * i)) & 0xFF));
  }
  return out;
}

bool Subnet6::contains(const Ipv6& address) const {
  return agree(address, base, prefix);
}

bool Subnet6::overlaps(const Subnet6& other) const {
  return agree(base, other.base, std::min(prefix, other.prefix));
}

std::optional<Ipv4> parse_ipv4(std::string_view text) {
  in_addr address{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) return std::nullopt;
  return Ipv4{ntohl(address.s_addr)};
}

std::optional<Ipv6> parse_ipv6(std::string_view text) {
  Ipv6 address;
  if (::inet_pton(AF_INET6, std::string(text).c_str(), address.bytes.data()) != 1) {
    return std::nullopt;
  }
  return address;
}

std::optional<Mac> parse_mac(std::string_view text) {
  const auto parts = split(text, ':');
  Mac mac;
  if (parts.size() != mac.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto byte = hex_byte(parts[i]);
    if (!byte) return std::nullopt;
    mac.bytes[i] = *byte;
  }
  return mac;
}

std::optional<Subnet4> parse_subnet4(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto base = parse_ipv4(text.substr(0, slash));
  const auto prefix = parse_prefix(text.substr(slash + 1), 32);
  if (!base || !prefix || (base->bits & ~mask4(*prefix)) != 0) return std::nullopt;
  return Subnet4{*base, *prefix};
}

std::optional<Subnet6> parse_subnet6(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto base = parse_ipv6(text.substr(0, slash));
  const auto prefix = parse_prefix(text.substr(slash + 1), 128);
  if (!base || !prefix) return std::nullopt;
  for (unsigned i = 0; i < 16; ++i) {
    if ((base->bytes[i] & ~mask6(*prefix, i) & 0xFF) != 0) return std::nullopt;
  }
  return Subnet6{*base, *prefix};
}

std::string to_text(Ipv4 address) {
  const in_addr raw{htonl(address.bits)};
  char text[INET_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET, &raw, text, sizeof text);
  return text;
}

std::string to_text(const Ipv6& address) {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET6, address.bytes.data(), text, sizeof text);
  return text;
}

std::string to_text(const Mac& mac) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : mac.bytes) {
    if (!text.empty()) text += ':';
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  return text;
}

std::string to_text(const Subnet4& subnet) {
  return to_text(subnet.base) + "/" + std::to_string(subnet.prefix);
}

std::string to_text(const Subnet6& subnet) {
  return to_text(subnet.base) + "/" + std::to_string(subnet.prefix);
}

Mac mac_of(Ipv4 address) {
  const auto byte = [&](unsigned shift) {
    return static_cast<std::uint8_t>(address.bits >> shift);
  };
  // 0x02: unicast, locally administered (IEEE 802); 0x76 is 'v'.
  return {{0x02, 0x76, byte(24), byte(16), byte(8), byte(0)}};
}

}  // namespace vrun::network
