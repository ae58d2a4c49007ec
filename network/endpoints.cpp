#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "base/text.hpp"
#include "network/host_settings.hpp"
#include "network/pools.hpp"
#include "network/session.hpp"

namespace vrun::network {
namespace {

// Of all networks of a host no two share an address, so its digits make a name; 10 letters of 15.
std::string host_side_of(Ipv4 address) {
  std::array<char, 16> name{};
  std::snprintf(name.data(), name.size(), "ve%08x", address.bits);
  return name.data();
}

Error taken(Session& session, const Network& network, const std::string& address) {
  Error error(Code::kExists,
              "address " + address + " of network " + quote(network.name) + " is in use");
  const Result<std::string> owner = session.records.owner(network.bridge, address);
  if (!owner)
    return std::move(error).hint(
        "an interface of a guest that has ended still has it: another guest or process uses its "
        "network");
  return std::move(error).hint("guest " + quote(owner->substr(owner->find('/') + 1)) + " has it");
}

constexpr std::string_view kShaperPrefix = "vi";

// An address that somebody wants by name.
Result<void> lease_static(Session& session, const Network& network, const std::string& address,
                          const std::string& owner) {
  Result<void> leased = session.records.lease(network.bridge, address, owner);
  if (leased || leased.error().code() != Code::kExists) return leased;
  if (!TRY(repair_once(session))) return taken(session, network, address);
  leased = session.records.lease(network.bridge, address, owner);
  if (leased || leased.error().code() != Code::kExists) return leased;
  return taken(session, network, address);
}

// The interface of a guest that has ended lives as long as anybody uses its namespace.
Result<bool> is_plugged(Session& session, Ipv4 address) {
  return TRY(session.links.find(host_side_of(address))).has_value();
}

// The kernel takes an interface away some 20 ms after the last process of its namespace; who asks
// for this very address (a guest that is started again) waits for that, with the lock held.
Result<bool> stays_plugged(Session& session, Ipv4 address) {
  constexpr timespec kPause{0, 5'000'000};
  constexpr int kMostPauses = 200;
  for (int i = 0; i < kMostPauses; ++i) {
    if (!TRY(is_plugged(session, address))) return false;
    ::nanosleep(&kPause, nullptr);
  }
  return true;
}

Result<std::optional<Ipv4>> choose_address(Session& session, const Network& network) {
  std::set<std::string> leases = TRY(session.records.leases(network.bridge));
  const std::uint32_t start = session.records.last_number(network.bridge) + 1;
  const auto is_leased = [&](std::uint32_t number) {
    return leases.contains(to_text(network.subnet4.at(number)));
  };
  while (const auto number = choose_host(network.subnet4, network.gateway4, start, is_leased)) {
    const Ipv4 address = network.subnet4.at(*number);
    if (!TRY(is_plugged(session, address))) return std::optional<Ipv4>(address);
    leases.insert(to_text(address));
  }
  return std::optional<Ipv4>();
}

Result<Ipv4> lease_any(Session& session, const Network& network, const std::string& owner) {
  std::optional<Ipv4> address = TRY(choose_address(session, network));
  if (!address && TRY(repair_once(session))) address = TRY(choose_address(session, network));
  if (!address) {
    return Error(Code::kState, "network " + quote(network.name) + ": all addresses of " +
                                   to_text(network.subnet4) + " are in use")
        .hint("remove guests, or make a network with a larger --subnet");
  }
  TRY(session.records.lease(network.bridge, to_text(*address), owner));
  TRY(session.records.set_last_number(network.bridge, address->bits - network.subnet4.base.bits));
  return *address;
}

Result<Ipv4> lease4(Session& session, const Network& network, const Join& join,
                    const std::string& owner) {
  if (!join.ipv4) return lease_any(session, network, owner);
  TRY(check_address(network.subnet4, network.gateway4, *join.ipv4));
  TRY(lease_static(session, network, to_text(*join.ipv4), owner));
  if (!TRY(stays_plugged(session, *join.ipv4))) return *join.ipv4;
  static_cast<void>(session.records.release(network.bridge, to_text(*join.ipv4)));
  return taken(session, network, to_text(*join.ipv4));
}

// Numbered as the IPv4 address is, or after it where somebody asked for that one by name.
Result<std::optional<Ipv6>> lease6(Session& session, const Network& network, const Join& join,
                                   Ipv4 ipv4, const std::string& owner) {
  if (!network.subnet6) {
    if (!join.ipv6) return std::optional<Ipv6>();
    return Error(Code::kInvalid, "address " + to_text(*join.ipv6) + ": network " +
                                     quote(network.name) + " has no IPv6 addresses");
  }
  if (join.ipv6) {
    TRY(check_address(*network.subnet6, network.gateway6, *join.ipv6));
    TRY(lease_static(session, network, to_text(*join.ipv6), owner));
    return join.ipv6;
  }
  std::uint32_t number = ipv4.bits - network.subnet4.base.bits;
  while (true) {
    const Ipv6 address = network.subnet6->at(number++);
    if (address == network.gateway6) continue;
    Result<void> leased = session.records.lease(network.bridge, to_text(address), owner);
    if (leased) return std::optional<Ipv6>(address);
    if (leased.error().code() != Code::kExists) return std::move(leased).error();
  }
}

}  // namespace

Result<Endpoint> lease_endpoint(Session& session, const Network& network, const Join& join,
                                const std::string& interface, const std::string& owner) {
  Endpoint endpoint;
  endpoint.network = network.name;
  endpoint.bridge = network.bridge;
  endpoint.interface = interface;
  endpoint.internal = network.internal;
  endpoint.aliases = join.aliases;
  endpoint.ipv4 = TRY(lease4(session, network, join, owner));
  endpoint.gateway4 = network.gateway4;
  endpoint.prefix4 = network.subnet4.prefix;
  Result<std::optional<Ipv6>> ipv6 = lease6(session, network, join, endpoint.ipv4, owner);
  if (!ipv6) {
    static_cast<void>(session.records.release(network.bridge, to_text(endpoint.ipv4)));
    return std::move(ipv6).error();
  }
  endpoint.ipv6 = *ipv6;
  if (network.subnet6) {
    endpoint.gateway6 = network.gateway6;
    endpoint.prefix6 = network.subnet6->prefix;
  }
  endpoint.mac = join.mac.value_or(mac_of(endpoint.ipv4));
  endpoint.host_side = host_side_of(endpoint.ipv4);
  return endpoint;
}

Result<void> release_endpoint(Session& session, const Endpoint& endpoint) {
  if (endpoint.ipv6) TRY(session.records.release(endpoint.bridge, to_text(*endpoint.ipv6)));
  return session.records.release(endpoint.bridge, to_text(endpoint.ipv4));
}

Result<void> plug_in(Session& session, const Network& network, const Endpoint& endpoint,
                     int netns) {
  const Link bridge = TRY(ensure_bridge(session, network));
  TRY(session.links.make_veth({.host_side = endpoint.host_side,
                               .bridge = bridge.index,
                               .inside = endpoint.interface,
                               .netns = netns,
                               .mac = endpoint.mac,
                               .mtu = bridge.mtu}));
  LinkTable inside = TRY(LinkTable::open_in(netns));
  const std::optional<Link> link = TRY(inside.find(endpoint.interface));
  if (!link) return Error(Code::kState, "the guest's network namespace has changed");
  TRY(inside.add_address(link->index, endpoint.ipv4, endpoint.prefix4));
  if (endpoint.ipv6) TRY(inside.add_address(link->index, *endpoint.ipv6, endpoint.prefix6));
  return inside.set_up(link->index);
}

Result<void> add_default_routes(const Endpoint& endpoint, int netns) {
  LinkTable inside = TRY(LinkTable::open_in(netns));
  const std::optional<Link> link = TRY(inside.find(endpoint.interface));
  if (!link) return {};  // the guest has moved it away
  TRY(inside.add_default_route(link->index, endpoint.gateway4));
  if (!endpoint.gateway6) return {};
  Result<void> six = inside.add_default_route(link->index, *endpoint.gateway6);
  // The sandbox of a machine has no IPv6 of its own, so it reaches nobody by it (make_tap); the
  // machine has the route.
  if (!six && six.error().sys_errno() != EHOSTUNREACH) return six;
  return {};
}

std::string shaper_of(const Endpoint& endpoint) {
  return std::string(kShaperPrefix) + host_side_of(endpoint.ipv4).substr(kShaperPrefix.size());
}

std::optional<Ipv4> address_of_shaper(std::string_view name) {
  constexpr std::size_t kDigits = 8;
  if (!name.starts_with(kShaperPrefix) || name.size() != kShaperPrefix.size() + kDigits) return {};
  Ipv4 address;
  const char* const end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + kShaperPrefix.size(), end, address.bits, 16);
  if (read.ec != std::errc() || read.ptr != end) return {};
  return address;
}

Result<void> remove_shaper(Session& session, const Endpoint& endpoint) {
  return session.links.remove(shaper_of(endpoint));
}

Result<void> set_limits(Session& session, const GuestRecord& record) {
  constexpr std::uint64_t kBitsPerByte = 8;
  const Bandwidth& limits = record.net.bandwidth;
  for (const Endpoint& endpoint : record.net.endpoints) {
    const std::optional<Link> link = TRY(session.links.find(endpoint.host_side));
    if (!link) continue;
    TRY(session.links.limit_sending(link->index, limits.in / kBitsPerByte));
    if (limits.out == 0) {
      TRY(session.links.lead_received(link->index, 0));
      TRY(remove_shaper(session, endpoint));
      continue;
    }
    const Link shaper = TRY(session.links.make_shaper(shaper_of(endpoint)));
    TRY(session.links.limit_sending(shaper.index, limits.out / kBitsPerByte));
    TRY(session.links.lead_received(link->index, shaper.index));
  }
  if (limits.packets != 0) return sync_packet_limits(session);
  return {};
}

}  // namespace vrun::network
