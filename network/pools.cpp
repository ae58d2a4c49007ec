#include "network/pools.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace vrun::network {
namespace {

constexpr unsigned kLeastPrefix4 = 8, kMostPrefix4 = 30;

Error outside(const std::string& address, const std::string& subnet) {
  return Error(Code::kInvalid, "address " + address + ": not in the network's subnet " + subnet);
}

Error reserved(const std::string& address, const std::string& why) {
  return Error(Code::kInvalid, "address " + address + ": it is " + why);
}

bool is_usable4(Ipv4 base) {
  const std::uint32_t first = base.bits >> 24U;
  return first != 0 && first != 127 && first < 224;
}

// Every host has these on each link (RFC 3927); clouds answer questions about the machine there.
bool is_link_local4(const Subnet4& subnet) {
  constexpr Subnet4 kLinkLocal{Ipv4{0xA9FE0000U}, 16};
  return subnet.overlaps(kLinkLocal);
}

}  // namespace

Result<Subnet4> choose_subnet(std::span<const Subnet4> used) {
  constexpr std::uint32_t kStep = 1U << (32U - kPoolPrefix4);
  for (std::uint64_t at = 0; at < kPool4.size(); at += kStep) {
    const Subnet4 piece{kPool4.at(static_cast<std::uint32_t>(at)), kPoolPrefix4};
    const bool taken = std::any_of(used.begin(), used.end(),
                                   [&](const Subnet4& other) { return other.overlaps(piece); });
    if (!taken) return piece;
  }
  return Error(Code::kState, "choose a subnet: all of " + to_text(kPool4) + " is taken")
      .hint("remove networks (vrun network prune), or give one with --subnet");
}

Subnet6 subnet6_for(const Ipv6& ula, const Subnet4& subnet) {
  const bool pooled = kPool4.contains(subnet.base);
  const std::uint32_t number =
      pooled ? (subnet.base.bits - kPool4.base.bits) >> (32U - kPoolPrefix4)
             : 0x8000U | ((subnet.base.bits >> 16U ^ subnet.base.bits) & 0x7FFFU);
  Subnet6 out{ula, kPrefix6};
  out.base.bytes[6] = static_cast<std::uint8_t>(number >> 8U);
  out.base.bytes[7] = static_cast<std::uint8_t>(number);
  return out;
}

Ipv6 make_ula(std::span<const std::uint8_t, 5> random) {
  Ipv6 prefix;
  prefix.bytes[0] = 0xFD;
  std::copy(random.begin(), random.end(), prefix.bytes.begin() + 1);
  return prefix;
}

std::optional<std::uint32_t> choose_host(const Subnet4& subnet, Ipv4 gateway, std::uint32_t start,
                                         const std::function<bool(std::uint32_t)>& is_taken) {
  const auto last = static_cast<std::uint32_t>(subnet.size() - 2);
  if (start < 1 || start > last) start = 1;
  std::uint32_t number = start;
  do {
    if (subnet.at(number) != gateway && !is_taken(number)) return number;
    number = number == last ? 1 : number + 1;
  } while (number != start);
  return std::nullopt;
}

Result<void> check_subnet(const Subnet4& subnet, Ipv4 gateway) {
  const std::string text = to_text(subnet);
  if (subnet.prefix < kLeastPrefix4 || subnet.prefix > kMostPrefix4) {
    return Error(Code::kInvalid, "subnet " + text + ": the prefix is not from 8 to 30");
  }
  if (!is_usable4(subnet.base) || is_link_local4(subnet)) {
    return Error(Code::kInvalid, "subnet " + text + ": not addresses of hosts")
        .hint("take one of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16");
  }
  if (!subnet.contains(gateway)) return outside(to_text(gateway), text).during("gateway");
  const std::uint32_t number = gateway.bits - subnet.base.bits;
  if (number == 0 || number == subnet.size() - 1) {
    return reserved(to_text(gateway), "the subnet's own or broadcast address").during("gateway");
  }
  return {};
}

Result<void> check_subnet(const Subnet6& subnet, const Ipv6& gateway) {
  const std::string text = to_text(subnet);
  if (subnet.prefix < 16 || subnet.prefix > 96) {
    return Error(Code::kInvalid, "subnet " + text + ": the prefix is not from 16 to 96");
  }
  const std::uint8_t first = subnet.base.bytes[0];
  const bool link_local = first == 0xFE && (subnet.base.bytes[1] & 0xC0U) == 0x80U;
  if (first == 0xFF || first == 0 || link_local) {
    return Error(Code::kInvalid, "subnet " + text + ": not addresses of hosts")
        .hint("take one below fd00::/8");
  }
  if (!subnet.contains(gateway)) return outside(to_text(gateway), text).during("gateway");
  return {};
}

Result<void> check_address(const Subnet4& subnet, Ipv4 gateway, Ipv4 address) {
  const std::string text = to_text(address);
  if (!subnet.contains(address)) return outside(text, to_text(subnet));
  const std::uint32_t number = address.bits - subnet.base.bits;
  if (number == 0) return reserved(text, "the subnet's own");
  if (number == subnet.size() - 1) return reserved(text, "the broadcast address");
  if (address == gateway) return reserved(text, "the gateway");
  return {};
}

Result<void> check_address(const Subnet6& subnet, const Ipv6& gateway, const Ipv6& address) {
  const std::string text = to_text(address);
  if (!subnet.contains(address)) return outside(text, to_text(subnet));
  if (address == subnet.base) return reserved(text, "the subnet's own");
  if (address == gateway) return reserved(text, "the gateway");
  return {};
}

}  // namespace vrun::network
