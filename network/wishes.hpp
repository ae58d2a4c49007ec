// What flags say about a guest's network, as values: --network, --publish, --add-host.
//
// Everything that is wrong with a text alone is said here; whether names, ports and addresses are
// free is known to Networks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "network/address.hpp"

namespace vrun::network {

// A guest's place in one network.
struct Join {
  std::string network = "default";
  std::optional<Ipv4> ipv4;  // else the next free one
  std::optional<Ipv6> ipv6;
  std::optional<Mac> mac;  // else made from the IPv4 address
  std::vector<std::string> aliases;
};

// --network: none, host, container:NAME, or networks by name ("bridge" is another word for
// "default"). NAME may carry options as Podman's: "web:ip=10.1.2.3,ip6=fd00::3,mac=...,alias=db".
struct Mode {
  enum class Kind { kNone, kHost, kContainer, kNetworks };
  Kind kind = Kind::kNetworks;
  std::string container;    // kContainer
  std::vector<Join> joins;  // kNetworks
};
// `flags`: each --network in order (empty: the default network).
Result<Mode> parse_mode(const std::vector<std::string>& flags);
Result<Join> parse_join(std::string_view text);

enum class Protocol : std::uint8_t { kTcp, kUdp };
const char* to_text(Protocol protocol);

// [HOST-ADDRESS:][HOST-PORT[-LAST]:]GUEST-PORT[-LAST][/tcp|udp], as Docker's -p; an IPv6 address in
// brackets. Without HOST-PORT a free one is taken.
struct Publish {
  // Neither: all addresses of the host, both families; 0.0.0.0 and :: are all of one family.
  std::optional<Ipv4> host4;
  std::optional<Ipv6> host6;
  std::uint16_t host_port = 0;  // the first; 0: any free ones
  std::uint16_t guest_port = 0;
  std::uint16_t count = 1;
  Protocol protocol = Protocol::kTcp;
  auto operator<=>(const Publish&) const = default;
  bool on_ipv4() const { return host4 || !host6; }
  bool on_ipv6() const { return host6 || !host4; }
};
Result<Publish> parse_publish(std::string_view text);
// Both want the same port of the host; a port that is still to be chosen is nobody's.
bool collide(const Publish& one, const Publish& other);
// "0.0.0.0:8080->80/tcp" as `ps` and `port` print it; ranges as "8080-8090->80-90".
std::string to_text(const Publish& port);

// --add-host NAME:ADDRESS; "host-gateway" as the address is the host as seen by the guest.
struct ExtraHost {
  std::string name;
  std::string address;  // checked text, or "host-gateway"
  bool operator==(const ExtraHost&) const = default;
};
Result<ExtraHost> parse_extra_host(std::string_view text);

// --network-pps 5000: from 1 to 100000000 packets a second.
Result<std::uint64_t> parse_packets(std::string_view flag, std::string_view text);
// --bandwidth 100M: bits per second, k, M and G are thousands. From 8k to 1000G.
Result<std::uint64_t> parse_rate(std::string_view flag, std::string_view text);

// A network's or guest's name as a host name in lower-case letters, digits, '-', '_', '.'.
Result<void> check_alias(const std::string& alias);

}  // namespace vrun::network
