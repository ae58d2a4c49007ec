#include "network/flows.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include "network/netlink.hpp"

namespace vrun::network {
namespace {

// A direction of a connection: where its packets come from.
struct Source {
  std::string address;  // as on the wire
  std::uint8_t protocol = 0;
  std::uint16_t port = 0;
};

std::vector<Attribute> inside(std::string_view bytes) {
  std::vector<Attribute> found;
  while (bytes.size() >= sizeof(rtattr)) {
    rtattr head{};
    std::memcpy(&head, bytes.data(), sizeof head);
    if (head.rta_len < sizeof head || head.rta_len > bytes.size()) break;
    found.push_back({static_cast<std::uint16_t>(head.rta_type & NLA_TYPE_MASK),
                     bytes.substr(sizeof head, head.rta_len - sizeof head)});
    bytes.remove_prefix(std::min<std::size_t>(bytes.size(), (head.rta_len + 3U) & ~3U));
  }
  return found;
}

Source source_of(std::string_view tuple) {
  Source source;
  for (const Attribute& part : inside(tuple)) {
    for (const Attribute& one : inside(part.bytes)) {
      const bool address = one.type == CTA_IP_V4_SRC || one.type == CTA_IP_V6_SRC;
      if (part.type == CTA_TUPLE_IP && address) source.address = one.bytes;
      if (part.type != CTA_TUPLE_PROTO || one.bytes.empty()) continue;
      if (one.type == CTA_PROTO_NUM) source.protocol = static_cast<std::uint8_t>(one.bytes[0]);
      if (one.type != CTA_PROTO_SRC_PORT || one.bytes.size() < sizeof source.port) continue;
      std::memcpy(&source.port, one.bytes.data(), sizeof source.port);
      source.port = ntohs(source.port);
    }
  }
  return source;
}

std::string wire_of(Ipv4 address) {
  const std::uint32_t wire = htonl(address.bits);
  return {reinterpret_cast<const char*>(&wire), sizeof wire};
}

std::string wire_of(const Ipv6& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()};
}

// Do its answers come from a guest's end of one of the ports?
bool comes_from(const Source& source, const RuledPorts& one) {
  const std::uint8_t protocol = one.port.protocol == Protocol::kTcp ? IPPROTO_TCP : IPPROTO_UDP;
  if (source.protocol != protocol) return false;
  if (source.port < one.port.guest_port || source.port >= one.port.guest_port + one.port.count) {
    return false;
  }
  return source.address == wire_of(one.to4) || (one.to6 && source.address == wire_of(*one.to6));
}

constexpr std::uint16_t kGet = (NFNL_SUBSYS_CTNETLINK << 8U) | IPCTNL_MSG_CT_GET;
constexpr std::uint16_t kDelete = (NFNL_SUBSYS_CTNETLINK << 8U) | IPCTNL_MSG_CT_DELETE;

struct Flow {
  std::uint8_t family;
  std::string tuple;  // of its first direction: by that it is deleted
};

Result<std::vector<Flow>> find_flows(Netlink& netlink, std::span<const RuledPorts> ports) {
  std::vector<Flow> found;
  Request request(kGet, NLM_F_DUMP, nfgenmsg{});
  TRY(netlink.read_all(request, "list connections", [&](const nlmsghdr& message) {
    if (message.nlmsg_len < NLMSG_HDRLEN + sizeof(nfgenmsg)) return;
    nfgenmsg about{};
    std::memcpy(&about, reinterpret_cast<const char*>(&message) + NLMSG_HDRLEN, sizeof about);
    Flow flow{about.nfgen_family, {}};
    Source answers;
    for (const Attribute& one : attributes_of(message, sizeof about)) {
      if (one.type == CTA_TUPLE_ORIG) flow.tuple = one.bytes;
      if (one.type == CTA_TUPLE_REPLY) answers = source_of(one.bytes);
    }
    const bool ours = std::any_of(ports.begin(), ports.end(),
                                  [&](const RuledPorts& one) { return comes_from(answers, one); });
    if (ours) found.push_back(std::move(flow));
  }));
  return found;
}

}  // namespace

// Found here and not by the kernel's own filter (CTA_FILTER), whose comparison of IPv6 addresses
// did not find them on Linux 6.18.
Result<void> forget_flows(std::span<const RuledPorts> ports) {
  if (ports.empty()) return {};
  Netlink netlink = TRY(Netlink::open(NETLINK_NETFILTER));
  for (const Flow& flow : TRY(find_flows(netlink, ports))) {
    nfgenmsg about{};
    about.nfgen_family = flow.family;
    Request request(kDelete, NLM_F_ACK, about);
    request.add(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.tuple);
    Result<void> gone = netlink.request(request, "forget a connection to a closed port");
    if (!gone && gone.error().sys_errno() != ENOENT) return gone;  // ENOENT: it has just ended
  }
  return {};
}

}  // namespace vrun::network
