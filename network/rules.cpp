#include "network/rules.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace vrun::network {
namespace {

// `any`: on every address of the host; `at`: on one.
constexpr std::string_view kSets = R"(
  set bridges { type ifname; }
  set internal { type ifname; }
  set within { type ifname . ifname; }
  set onlink4 { type ifname . ipv4_addr; flags interval; }
  set onlink6 { type ifname . ipv6_addr; flags interval; }
  map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
  map at4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  map at6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
)";

// guard: bridges with a published port route 127.0.0.0/8 (route_localnet), so that the host itself
// reaches the port there; guests shall not reach the host's loopback by that. A source address that
// does not lie behind its bridge is a lie.
// leaving has the number of dstnat: the word is known for prerouting only. The kernel never routes
// a packet with the source ::1 out of lo, so there the port is refused at once: who tries
// "localhost" goes on to 127.0.0.1. departing: a guest that calls a port published by its own
// network would get the answer past the host, from an address that it did not call. With
// br_netfilter such packets do not come by an interface (iifname is empty here), so they are known
// by their source. forward: an internal network leads nowhere, not even to
// ports that others published. input: nor to services of the host, which may itself call its
// guests.
constexpr std::string_view kChains = R"(
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
    iifname @bridges ip saddr != 0.0.0.0 fib saddr . iif oif missing drop
    iifname @bridges ip6 saddr != :: fib saddr . iif oif missing drop
  }
  chain published {
    dnat ip to ip daddr . meta l4proto . th dport map @at4
    dnat ip to meta l4proto . th dport map @any4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @at6
    dnat ip6 to meta l4proto . th dport map @any6
  }
  chain arriving {
    type nat hook prerouting priority dstnat; policy accept;
    meta l4proto { tcp, udp } fib daddr type local jump published
  }
  chain leaving {
    type nat hook output priority -100; policy accept;
    ip6 daddr ::1 return
    meta l4proto { tcp, udp } fib daddr type local jump published
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname . oifname @within accept
    iifname @internal drop
    oifname @bridges ct state established,related accept
    oifname @bridges ct status dnat accept
    oifname @bridges drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname @internal ct state established,related accept
    iifname @internal meta l4proto { icmp, ipv6-icmp } accept
    iifname @internal drop
  }
  chain departing {
    type nat hook postrouting priority srcnat; policy accept;
    iifname @bridges oifname != @bridges masquerade
    oifname . ip saddr @onlink4 ct status dnat masquerade
    oifname . ip6 saddr @onlink6 ct status dnat masquerade
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
  }
)";

struct Change {
  std::string_view verb;  // add, delete
  bool with_target;       // of a map's element: to delete one its key is enough
};
constexpr Change kAdd{"add", true};
constexpr Change kRemove{"delete", false};

std::string element(std::string_view verb, std::string_view set, const std::string& elements) {
  return std::string(verb) + " element inet vrun " + std::string(set) + " { " + elements + " }\n";
}

std::string quoted(const std::string& name) {
  return "\"" + name + "\"";
}

std::string network_text(std::string_view verb, const RuledNetwork& network) {
  const std::string name = quoted(network.bridge);
  std::string text = element(verb, "bridges", name) + element(verb, "within", name + " . " + name);
  text += element(verb, "onlink4", name + " . " + to_text(network.subnet4));
  if (network.subnet6) {
    text += element(verb, "onlink6", name + " . " + to_text(*network.subnet6));
  }
  if (network.internal) text += element(verb, "internal", name);
  return text;
}

// The elements of one map for one range of ports.
std::string map_elements(const Publish& port, const std::string& address, const std::string& target,
                         bool with_target) {
  std::string text;
  for (std::uint32_t i = 0; i < port.count; ++i) {
    if (!text.empty()) text += ", ";
    if (!address.empty()) text += address + " . ";
    text += std::string(to_text(port.protocol)) + " . " + std::to_string(port.host_port + i);
    if (with_target) text += " : " + target + " . " + std::to_string(port.guest_port + i);
  }
  return text;
}

std::string ports_text(const Change& change, std::span<const RuledPorts> all) {
  std::string text;
  for (const RuledPorts& one : all) {
    if (one.port.on_ipv4()) {
      const bool any = one.port.host4.value_or(Ipv4{}) == Ipv4{};
      text += element(change.verb, any ? "any4" : "at4",
                      map_elements(one.port, any ? "" : to_text(*one.port.host4), to_text(one.to4),
                                   change.with_target));
    }
    if (one.port.on_ipv6() && one.to6) {
      const bool any = one.port.host6.value_or(Ipv6{}) == Ipv6{};
      text += element(change.verb, any ? "any6" : "at6",
                      map_elements(one.port, any ? "" : to_text(*one.port.host6), to_text(*one.to6),
                                   change.with_target));
    }
  }
  return text;
}

}  // namespace

std::string table_text(std::span<const RuledNetwork> networks, std::span<const RuledPorts> ports) {
  if (networks.empty()) return "add table inet vrun\ndelete table inet vrun\n";
  // Made before it is deleted, so that the deletion cannot fail; all of it is one transaction.
  std::string text = "add table inet vrun\ndelete table inet vrun\ntable inet vrun {";
  text += kSets.substr(0, kSets.size() - 1);
  text += kChains;
  text += "}\n";
  for (const RuledNetwork& network : networks)
    text += add_network_text(network);
  return text + add_ports_text(ports);
}

std::string add_network_text(const RuledNetwork& network) {
  return network_text(kAdd.verb, network);
}

std::string remove_network_text(const RuledNetwork& network) {
  return network_text(kRemove.verb, network);
}

std::string add_ports_text(std::span<const RuledPorts> ports) {
  return ports_text(kAdd, ports);
}

std::string remove_ports_text(std::span<const RuledPorts> ports) {
  return ports_text(kRemove, ports);
}

std::string packet_limits_text(std::span<const PacketLimit> limits) {
  constexpr std::uint64_t kBursts = 20, kLeastBurst = 5;  // 50 ms
  std::string text = "add table bridge vrun\ndelete table bridge vrun\n";
  if (limits.empty()) return text;
  text += "table bridge vrun {\n";
  std::string elements;
  for (const PacketLimit& one : limits) {
    const std::string rate = " { rate over " + std::to_string(one.per_second) + "/second burst " +
                             std::to_string(std::max(one.per_second / kBursts, kLeastBurst)) +
                             " packets; }\n";
    for (const auto& [map, letter] : {std::pair("sends", "s-"), std::pair("receives", "r-")}) {
      const std::string name = letter + one.interface;
      text += "  limit " + name + rate;
      elements += std::string("add element bridge vrun ") + map + " { " + quoted(one.interface) +
                  " : " + name + " }\n";
    }
  }
  text += R"(  map sends { type ifname : limit; }
  map receives { type ifname : limit; }
  chain sending {
    type filter hook prerouting priority -300; policy accept;
    limit name iifname map @sends drop
  }
  chain receiving {
    type filter hook postrouting priority 300; policy accept;
    limit name oifname map @receives drop
  }
}
)";
  return text + elements;
}

}  // namespace vrun::network
