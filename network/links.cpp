#include "network/links.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <linux/veth.h>
#include <net/if.h>

#include "base/text.hpp"

namespace vrun::network {
namespace {

template <typename Value>
Value value_of(std::string_view bytes) {
  Value value{};
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

template <typename Body>
Body body_of(const nlmsghdr& message) {
  const auto length = message.nlmsg_len - NLMSG_HDRLEN;
  return value_of<Body>({reinterpret_cast<const char*>(&message) + NLMSG_HDRLEN, length});
}

std::string_view bytes_of(const Mac& mac) {
  return {reinterpret_cast<const char*>(mac.bytes.data()), mac.bytes.size()};
}

std::string bytes_of(Ipv4 address) {
  const std::uint32_t wire = htonl(address.bits);
  return {reinterpret_cast<const char*>(&wire), sizeof wire};
}

std::string bytes_of(const Ipv6& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()};
}

std::string text_of(std::string_view bytes) {
  return std::string(bytes.substr(0, bytes.find('\0')));
}

LinkStats stats_of(std::string_view bytes) {
  const auto all = value_of<rtnl_link_stats64>(bytes);
  return {.received_bytes = all.rx_bytes,
          .received_packets = all.rx_packets,
          .received_dropped = all.rx_dropped,
          .sent_bytes = all.tx_bytes,
          .sent_packets = all.tx_packets,
          .sent_dropped = all.tx_dropped};
}

Link link_of(const nlmsghdr& message) {
  const auto about = body_of<ifinfomsg>(message);
  Link link;
  link.index = about.ifi_index;
  link.up = (about.ifi_flags & IFF_UP) != 0;
  for (const Attribute& one : attributes_of(message, sizeof(ifinfomsg))) {
    if (one.type == IFLA_IFNAME) link.name = text_of(one.bytes);
    if (one.type == IFLA_ADDRESS && one.bytes.size() == 6) link.mac = value_of<Mac>(one.bytes);
    if (one.type == IFLA_MTU) link.mtu = value_of<std::uint32_t>(one.bytes);
    if (one.type == IFLA_MASTER) link.bridge = value_of<int>(one.bytes);
    if (one.type == IFLA_STATS64) link.stats = stats_of(one.bytes);
  }
  return link;
}

ifinfomsg link_body(int index, bool up) {
  ifinfomsg about{};
  about.ifi_family = AF_UNSPEC;
  about.ifi_index = index;
  if (up) about.ifi_flags = about.ifi_change = IFF_UP;
  return about;
}

constexpr std::uint16_t kMake = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;

Result<void> there_already_is_fine(Result<void> done) {
  if (!done && done.error().sys_errno() == EEXIST) return {};
  return done;
}

ifaddrmsg address_body(int index, int family, unsigned prefix) {
  ifaddrmsg about{};
  about.ifa_family = static_cast<std::uint8_t>(family);
  about.ifa_prefixlen = static_cast<std::uint8_t>(prefix);
  about.ifa_index = static_cast<unsigned>(index);
  return about;
}

Request default_route(int family, int index, const std::string& gateway) {
  rtmsg about{};
  about.rtm_family = static_cast<std::uint8_t>(family);
  about.rtm_table = RT_TABLE_MAIN;
  about.rtm_protocol = RTPROT_BOOT;
  about.rtm_scope = RT_SCOPE_UNIVERSE;
  about.rtm_type = RTN_UNICAST;
  Request request(RTM_NEWROUTE, kMake, about);
  request.add(RTA_GATEWAY, gateway);
  request.add_u32(RTA_OIF, static_cast<std::uint32_t>(index));
  return request;
}

// What a route message says, as far as it matters here.
struct Route {
  unsigned table = 0, type = 0, prefix = 0;
  int interface = 0;
  Ipv4 to;
};

Route route_of(const nlmsghdr& message) {
  const auto about = body_of<rtmsg>(message);
  Route route;
  route.table = about.rtm_table;
  route.type = about.rtm_type;
  route.prefix = about.rtm_dst_len;
  for (const Attribute& one : attributes_of(message, sizeof(rtmsg))) {
    if (one.type == RTA_OIF) route.interface = value_of<int>(one.bytes);
    if (one.type == RTA_TABLE) route.table = value_of<std::uint32_t>(one.bytes);
    if (one.type == RTA_DST && one.bytes.size() == 4) {
      route.to = {ntohl(value_of<std::uint32_t>(one.bytes))};
    }
  }
  return route;
}

Result<std::vector<Route>> list_routes(Netlink& netlink, int family) {
  std::vector<Route> routes;
  rtmsg about{};
  about.rtm_family = static_cast<std::uint8_t>(family);
  Request request(RTM_GETROUTE, NLM_F_DUMP, about);
  TRY(netlink.read_all(request, "list routes", [&](const nlmsghdr& message) {
    if (message.nlmsg_type == RTM_NEWROUTE) routes.push_back(route_of(message));
  }));
  return routes;
}

void add_bridge_options(Request& request) {
  const std::size_t info = request.begin(IFLA_LINKINFO);
  request.add(IFLA_INFO_KIND, "bridge");
  const std::size_t data = request.begin(IFLA_INFO_DATA);
  // There are no loops among guests: a port that comes up shall forward at once.
  request.add_u32(IFLA_BR_STP_STATE, 0);
  request.add_u32(IFLA_BR_FORWARD_DELAY, 0);
  request.end(data);
  request.end(info);
}

void add_peer(Request& request, const VethSpec& pair) {
  const std::size_t info = request.begin(IFLA_LINKINFO);
  request.add(IFLA_INFO_KIND, "veth");
  const std::size_t data = request.begin(IFLA_INFO_DATA);
  const std::size_t peer = request.begin(VETH_INFO_PEER);
  request.add_body(link_body(0, false));  // up: ENOTCONN, as it has no peer yet
  request.add_text(IFLA_IFNAME, pair.inside);
  request.add(IFLA_ADDRESS, bytes_of(pair.mac));
  request.add_u32(IFLA_MTU, pair.mtu);
  request.add_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(pair.netns));
  request.end(peer);
  request.end(data);
  request.end(info);
}

tcmsg root_qdisc(int index) {
  tcmsg about{};
  about.tcm_family = AF_UNSPEC;
  about.tcm_ifindex = index;
  about.tcm_parent = TC_H_ROOT;
  about.tcm_handle = 0x10000;  // "1:"
  return about;
}

// Room for 50 ms at full rate: enough for timers that tick every 4 ms and for packets that arrive
// in bundles, little enough that the limit is felt at once.
std::uint32_t burst_of(std::uint64_t bytes_per_second) {
  constexpr std::uint64_t kLeast = 16U << 10U, kMost = 64U << 20U;
  return static_cast<std::uint32_t>(std::clamp(bytes_per_second / 20, kLeast, kMost));
}

Request token_bucket(int index, std::uint64_t bytes_per_second) {
  Request request(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, root_qdisc(index));
  request.add_text(TCA_KIND, "tbf");
  tc_tbf_qopt shape{};
  shape.rate.rate =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes_per_second, 0xFFFFFFFFU));
  shape.rate.linklayer = TC_LINKLAYER_ETHERNET;  // else the kernel guesses it from a rate table
  const std::uint32_t burst = burst_of(bytes_per_second);
  shape.limit = burst * 2;  // what may wait: another 50 ms
  const std::size_t options = request.begin(TCA_OPTIONS);
  request.add(TCA_TBF_PARMS, std::string_view(reinterpret_cast<const char*>(&shape), sizeof shape));
  request.add_u32(TCA_TBF_BURST, burst);
  if (bytes_per_second > 0xFFFFFFFFU) {
    request.add(TCA_TBF_RATE64, std::string_view(reinterpret_cast<const char*>(&bytes_per_second),
                                                 sizeof bytes_per_second));
  }
  request.end(options);
  return request;
}

template <typename Struct>
std::string_view bytes_of_struct(const Struct& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// tc qdisc ... ingress (clsact): where filters for what comes in (and goes out) can stand.
Request ingress_place(std::uint16_t type, std::uint16_t flags, int index,
                      const char* kind = "ingress") {
  tcmsg about{};
  about.tcm_family = AF_UNSPEC;
  about.tcm_ifindex = index;
  about.tcm_parent = TC_H_INGRESS;
  about.tcm_handle = TC_H_MAKE(TC_H_INGRESS, 0U);
  Request request(type, flags, about);
  request.add_text(TCA_KIND, kind);
  return request;
}

void add_redirect(Request& request, int to) {
  tc_mirred mirred{};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_EGRESS_REDIR;
  mirred.ifindex = static_cast<std::uint32_t>(to);
  const std::size_t actions = request.begin(TCA_U32_ACT);
  const std::size_t first = request.begin(1);  // the order in which it runs
  request.add_text(TCA_ACT_KIND, "mirred");
  const std::size_t options = request.begin(TCA_ACT_OPTIONS);
  request.add(TCA_MIRRED_PARMS, bytes_of_struct(mirred));
  request.end(options);
  request.end(first);
  request.end(actions);
}

// u32 with a key that fits everything: older and more often there than matchall.
Request redirect_filter(int index, int to, std::uint32_t parent = TC_H_MAKE(TC_H_INGRESS, 0U)) {
  constexpr std::uint32_t kFirst = 1;  // among filters
  tcmsg about{};
  about.tcm_family = AF_UNSPEC;
  about.tcm_ifindex = index;
  about.tcm_parent = parent;
  about.tcm_info = TC_H_MAKE(kFirst << 16U, htons(ETH_P_ALL));
  Request request(RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, about);
  request.add_text(TCA_KIND, "u32");
  const std::size_t options = request.begin(TCA_OPTIONS);
  std::array<char, sizeof(tc_u32_sel) + sizeof(tc_u32_key)> any{};  // a key with mask 0
  any[offsetof(tc_u32_sel, flags)] = TC_U32_TERMINAL;
  any[offsetof(tc_u32_sel, nkeys)] = 1;
  add_redirect(request, to);
  request.add(TCA_U32_SEL, std::string_view(any.data(), any.size()));
  request.end(options);
  return request;
}

Request shaper_link(const std::string& name) {
  Request request(RTM_NEWLINK, kMake, link_body(0, true));
  request.add_text(IFLA_IFNAME, name);
  const std::size_t info = request.begin(IFLA_LINKINFO);
  request.add(IFLA_INFO_KIND, "ifb");
  request.end(info);
  return request;
}

// ifb, u32 and mirred are modules of many kernels, loaded when root asks for them.
Result<void> says_what_is_missing(Result<void> done) {
  if (done) return done;
  const int why = done.error().sys_errno();
  if (why != EOPNOTSUPP && why != ENOENT) return done;
  return std::move(done).error().hint(
      "limiting what a guest sends needs ifb, cls_u32 and act_mirred in the kernel: modprobe them, "
      "or limit only what it receives");
}

}  // namespace

Result<LinkTable> LinkTable::open() {
  return LinkTable(TRY(Netlink::open()));
}

Result<LinkTable> LinkTable::open_in(int netns) {
  return LinkTable(TRY(Netlink::open_in(netns)));
}

Result<std::optional<Link>> LinkTable::find(Request request, const std::string& what) {
  std::optional<Link> found;
  auto read = netlink_.read_all(request, "find interface " + what,
                                [&](const nlmsghdr& message) { found = link_of(message); });
  if (!read && read.error().sys_errno() != ENODEV) return std::move(read).error();
  return found;
}

Result<std::optional<Link>> LinkTable::find(const std::string& name) {
  Request request(RTM_GETLINK, NLM_F_ACK, link_body(0, false));
  request.add_text(IFLA_IFNAME, name);
  return find(std::move(request), quote(name));
}

Result<std::vector<Link>> LinkTable::list() {
  std::vector<Link> links;
  Request request(RTM_GETLINK, NLM_F_DUMP, link_body(0, false));
  TRY(netlink_.read_all(request, "list interfaces", [&](const nlmsghdr& message) {
    if (message.nlmsg_type == RTM_NEWLINK) links.push_back(link_of(message));
  }));
  return links;
}

Result<void> LinkTable::make_bridge(const BridgeSpec& bridge) {
  Request request(RTM_NEWLINK, kMake, link_body(0, false));
  request.add_text(IFLA_IFNAME, bridge.name);
  // A bridge without one takes the least of its ports' and changes it as they come and go.
  request.add(IFLA_ADDRESS, bytes_of(bridge.mac));
  add_bridge_options(request);
  TRY(netlink_.request(request, "make bridge " + quote(bridge.name)));
  if (bridge.mtu == 0) return {};
  // Only a size that is set afterwards stays when the last port goes (br_mtu_auto_adjust).
  Request resize(RTM_NEWLINK, NLM_F_ACK, link_body(0, false));
  resize.add_text(IFLA_IFNAME, bridge.name);
  resize.add_u32(IFLA_MTU, bridge.mtu);
  return netlink_.request(resize, "set the mtu of bridge " + quote(bridge.name));
}

Result<void> LinkTable::make_veth(const VethSpec& pair) {
  Request request(RTM_NEWLINK, kMake, link_body(0, true));
  request.add_text(IFLA_IFNAME, pair.host_side);
  request.add_u32(IFLA_MASTER, static_cast<std::uint32_t>(pair.bridge));
  request.add_u32(IFLA_MTU, pair.mtu);
  add_peer(request, pair);
  return netlink_.request(
      request, "make interface " + quote(pair.inside) + " (" + pair.host_side + " on the host)");
}

Result<void> LinkTable::set_up(int index) {
  Request request(RTM_NEWLINK, NLM_F_ACK, link_body(index, true));
  return netlink_.request(request, "set interface " + std::to_string(index) + " up");
}

Result<void> LinkTable::set_mtu(int index, std::uint32_t mtu) {
  Request request(RTM_NEWLINK, NLM_F_ACK, link_body(index, false));
  request.add_u32(IFLA_MTU, mtu);
  return netlink_.request(request, "set the mtu of interface " + std::to_string(index));
}

Result<void> LinkTable::allow_hairpin(int index) {
  ifinfomsg about = link_body(index, false);
  about.ifi_family = AF_BRIDGE;
  Request request(RTM_SETLINK, NLM_F_ACK, about);
  const std::size_t port = request.begin(IFLA_PROTINFO | NLA_F_NESTED);
  request.add(IFLA_BRPORT_MODE, std::string_view("\1", 1));
  request.end(port);
  return netlink_.request(request, "let the bridge send back by port " + std::to_string(index));
}

Result<void> LinkTable::remove(const std::string& name) {
  Request request(RTM_DELLINK, NLM_F_ACK, link_body(0, false));
  request.add_text(IFLA_IFNAME, name);
  auto removed = netlink_.request(request, "remove interface " + quote(name));
  if (!removed && removed.error().sys_errno() == ENODEV) return {};
  return removed;
}

Result<void> LinkTable::add_address(int index, Ipv4 address, unsigned prefix) {
  Request request(RTM_NEWADDR, kMake, address_body(index, AF_INET, prefix));
  request.add(IFA_LOCAL, bytes_of(address));
  request.add(IFA_ADDRESS, bytes_of(address));
  if (prefix < 31) {
    request.add(IFA_BROADCAST, bytes_of(Ipv4{address.bits | (0xFFFFFFFFU >> prefix)}));
  }
  return there_already_is_fine(netlink_.request(request, "add address " + to_text(address)));
}

Result<void> LinkTable::add_address(int index, const Ipv6& address, unsigned prefix) {
  Request request(RTM_NEWADDR, kMake, address_body(index, AF_INET6, prefix));
  request.add(IFA_LOCAL, bytes_of(address));
  request.add(IFA_ADDRESS, bytes_of(address));
  // The lease says that it is free; detection would make the guest wait for a second.
  request.add_u32(IFA_FLAGS, IFA_F_NODAD);
  return there_already_is_fine(netlink_.request(request, "add address " + to_text(address)));
}

Result<void> LinkTable::add_default_route(int index, Ipv4 gateway) {
  Request request = default_route(AF_INET, index, bytes_of(gateway));
  return there_already_is_fine(
      netlink_.request(request, "add the default route by " + to_text(gateway)));
}

Result<void> LinkTable::add_default_route(int index, const Ipv6& gateway) {
  Request request = default_route(AF_INET6, index, bytes_of(gateway));
  return there_already_is_fine(
      netlink_.request(request, "add the default route by " + to_text(gateway)));
}

Result<std::optional<Link>> LinkTable::uplink() {
  for (const int family : {AF_INET, AF_INET6}) {
    for (const Route& route : TRY(list_routes(netlink_, family))) {
      const bool is_default = route.prefix == 0 && route.table == RT_TABLE_MAIN &&
                              route.type == RTN_UNICAST && route.interface != 0;
      if (!is_default) continue;
      Request request(RTM_GETLINK, NLM_F_ACK, link_body(route.interface, false));
      return find(std::move(request), std::to_string(route.interface));
    }
  }
  return std::optional<Link>();
}

Result<std::vector<Subnet4>> LinkTable::used_subnets() {
  std::vector<Subnet4> used;
  for (const Route& route : TRY(list_routes(netlink_, AF_INET))) {
    const bool counts = route.prefix != 0 && (route.type == RTN_UNICAST || route.type == RTN_LOCAL);
    if (counts) used.push_back({route.to, route.prefix});
  }
  return used;
}

Result<void> LinkTable::limit_sending(int index, std::uint64_t bytes_per_second) {
  if (bytes_per_second != 0) {
    Request request = token_bucket(index, bytes_per_second);
    return netlink_.request(request, "limit the bandwidth");
  }
  Request request(RTM_DELQDISC, NLM_F_ACK, root_qdisc(index));
  auto removed = netlink_.request(request, "take the bandwidth's limit away");
  const int why = removed ? 0 : removed.error().sys_errno();
  if (why == ENOENT || why == EINVAL) return {};  // there was none (a default has no handle)
  return removed;
}

Result<Link> LinkTable::make_shaper(const std::string& name) {
  Request request = shaper_link(name);
  TRY(there_already_is_fine(says_what_is_missing(
      netlink_.request(request, "make " + quote(name) + " to limit what a guest sends"))));
  const std::optional<Link> made = TRY(find(name));
  if (made) return *made;
  return Error(Code::kState, "interface " + quote(name) + " has gone");
}

Result<void> LinkTable::lead_received(int index, int shaper) {
  // What was there goes with the place that it stood in.
  Request old = ingress_place(RTM_DELQDISC, NLM_F_ACK, index);
  auto removed = netlink_.request(old, "take the way of what a guest sends back");
  const int why = removed ? 0 : removed.error().sys_errno();
  if (why != 0 && why != ENOENT && why != EINVAL) return removed;
  if (shaper == 0) return {};
  Request place = ingress_place(RTM_NEWQDISC, kMake, index);
  TRY(says_what_is_missing(netlink_.request(place, "limit what a guest sends")));
  Request filter = redirect_filter(index, shaper);
  return says_what_is_missing(netlink_.request(filter, "limit what a guest sends"));
}

Result<void> LinkTable::join_wires(int one, int other) {
  for (const auto& [from, to] : {std::pair(one, other), std::pair(other, one)}) {
    const auto ask = [&](Request request) {
      Result<void> done = netlink_.request(request, "join two interfaces to a wire");
      const int why = done ? 0 : done.error().sys_errno();
      if (why != EOPNOTSUPP && why != ENOENT) return done;
      return Result<void>(std::move(done).error().hint(
          "a micro-VM's network needs sch_ingress, cls_u32 and act_mirred in the host's kernel: "
          "modprobe them"));
    };
    TRY(ask(ingress_place(RTM_NEWQDISC, kMake, from)));
    TRY(ask(redirect_filter(from, to)));
  }
  return {};
}

Result<void> LinkTable::lead_both(int index, int received, int sent) {
  Request old = ingress_place(RTM_DELQDISC, NLM_F_ACK, index, "clsact");
  auto removed = netlink_.request(old, "take the way through the tenant's limit back");
  const int why = removed ? 0 : removed.error().sys_errno();
  if (why != 0 && why != ENOENT && why != EINVAL) return removed;
  if (received == 0) return {};
  const auto ask = [&](Request request) {
    return says_what_is_missing(netlink_.request(request, "limit the bandwidth of the tenant"));
  };
  TRY(ask(ingress_place(RTM_NEWQDISC, kMake, index, "clsact")));
  TRY(ask(redirect_filter(index, received, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS))));
  return ask(redirect_filter(index, sent, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)));
}

}  // namespace vrun::network
