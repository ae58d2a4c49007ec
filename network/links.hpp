// Interfaces, addresses and routes of one network namespace, by rtnetlink.
//
// What is asked for twice is success where that is harmless (a route or address that is there); an
// interface whose name is taken is Code::kExists. Needs CAP_NET_ADMIN in the namespace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "network/address.hpp"
#include "network/netlink.hpp"

namespace vrun::network {

struct LinkStats {
  std::uint64_t received_bytes = 0, received_packets = 0, received_dropped = 0;
  std::uint64_t sent_bytes = 0, sent_packets = 0, sent_dropped = 0;
};

struct Link {
  int index = 0;
  std::string name;
  std::uint32_t mtu = 0;
  bool up = false;
  std::optional<Mac> mac;
  int bridge = 0;  // that it is a port of
  LinkStats stats;
};

struct BridgeSpec {
  std::string name;
  Mac mac;
  std::uint32_t mtu = 0;
};

// A pair whose one end is a port of a bridge here and whose other end is in another namespace.
struct VethSpec {
  std::string host_side;
  int bridge = 0;  // index
  std::string inside;
  int netns = -1;
  Mac mac;  // inside
  std::uint32_t mtu = 0;
};

class LinkTable {
 public:
  static Result<LinkTable> open();  // the caller's namespace
  static Result<LinkTable> open_in(int netns);

  Result<std::optional<Link>> find(const std::string& name);
  Result<std::vector<Link>> list();
  Result<void> make_bridge(const BridgeSpec& bridge);
  // One message: both ends are in their places, the one here is up.
  Result<void> make_veth(const VethSpec& pair);
  Result<void> set_up(int index);
  Result<void> set_mtu(int index, std::uint32_t mtu);
  // The bridge may send what came in by this port back through it: with br_netfilter in the kernel
  // a guest's packet to a port that it has published itself takes that way.
  Result<void> allow_hairpin(int index);
  Result<void> remove(const std::string& name);  // absent is success

  Result<void> add_address(int index, Ipv4 address, unsigned prefix);
  Result<void> add_address(int index, const Ipv6& address, unsigned prefix);
  Result<void> add_default_route(int index, Ipv4 gateway);
  Result<void> add_default_route(int index, const Ipv6& gateway);

  // The interface of the IPv4 default route, else of the IPv6 one.
  Result<std::optional<Link>> uplink();
  // What the host's IPv4 routes and addresses cover, but for the default route.
  Result<std::vector<Subnet4>> used_subnets();

  // A token bucket on what leaves through the interface; 0 bytes per second takes it away.
  Result<void> limit_sending(int index, std::uint64_t bytes_per_second);
  // An interface that hands back what is sent into it, after its own token bucket: what came in
  // somewhere can wait there. Up. One of this name is taken as it is.
  Result<Link> make_shaper(const std::string& name);
  // All that comes in by `index` passes through the interface `shaper` first (0: no longer).
  Result<void> lead_received(int index, int shaper);
  // The same for what comes in by it and what leaves by it (0: no longer, for both).
  Result<void> lead_both(int index, int received, int sent);
  // All that comes in by the one leaves by the other, both ways, and their own namespace sees none
  // of it: two interfaces as one wire.
  Result<void> join_wires(int one, int other);

 private:
  explicit LinkTable(Netlink netlink) : netlink_(std::move(netlink)) {}
  Result<std::optional<Link>> find(Request request, const std::string& what);
  Netlink netlink_;
};

}  // namespace vrun::network
