#include "vm/guest/interface.hpp"

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/address.hpp"
#include "network/links.hpp"
#include "network/netlink.hpp"
#include "oci/sysctl.hpp"

namespace vrun::vm {
namespace {

// An address with its prefix; the subnet parsers want base addresses.
struct Prefixed {
  std::string_view address;
  unsigned prefix = 0;
};

Result<Prefixed> parse_prefixed(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto prefix = slash == text.npos ? std::nullopt : parse_u64(text.substr(slash + 1));
  if (!prefix || *prefix > 128)
    return Error(Code::kInvalid, "network.addresses: " + quote(text) + " is no ADDRESS/PREFIX");
  return Prefixed{text.substr(0, slash), static_cast<unsigned>(*prefix)};
}

Result<void> add_address(network::LinkTable& links, int index, const std::string& text) {
  const Prefixed parsed = TRY(parse_prefixed(text));
  if (const auto v4 = network::parse_ipv4(parsed.address); v4 && parsed.prefix <= 32)
    return links.add_address(index, *v4, parsed.prefix);
  if (const auto v6 = network::parse_ipv6(parsed.address))
    return links.add_address(index, *v6, parsed.prefix);
  return Error(Code::kInvalid, "network.addresses: " + quote(text) + " is no ADDRESS/PREFIX");
}

Result<void> add_gateway(network::LinkTable& links, int index, const std::string& text) {
  if (const auto v4 = network::parse_ipv4(text)) return links.add_default_route(index, *v4);
  if (const auto v6 = network::parse_ipv6(text)) return links.add_default_route(index, *v6);
  return Error(Code::kInvalid, "network.gateways: " + quote(text) + " is no address");
}

// Name and MTU; the interface must be down for the first (rtnetlink(7), RTM_NEWLINK).
Result<void> change(int index, const NetworkRequest& request) {
  ifinfomsg body{};
  body.ifi_index = index;
  network::Request change(RTM_NEWLINK, NLM_F_ACK, body);
  change.add_text(IFLA_IFNAME, request.name);
  if (request.mtu != 0) change.add_u32(IFLA_MTU, request.mtu);
  network::Netlink netlink = TRY(network::Netlink::open());
  return netlink.request(change, "configure " + quote(request.name));
}

// Down, which takes its routes along, with the card's address.
Result<void> put_down(network::Netlink& netlink, int index, const NetworkRequest& request) {
  const std::optional<network::Mac> mac = network::parse_mac(request.mac);
  if (!mac) return Error(Code::kInvalid, "network.mac: " + quote(request.mac) + " is none");
  ifinfomsg body{};
  body.ifi_index = index;
  body.ifi_change = IFF_UP;
  network::Request down(RTM_NEWLINK, NLM_F_ACK, body);
  TRY(netlink.request(down, "put down " + quote(request.name)));
  body.ifi_change = 0;
  network::Request change(RTM_NEWLINK, NLM_F_ACK, body);
  change.add(IFLA_ADDRESS, {reinterpret_cast<const char*>(mac->bytes.data()), mac->bytes.size()});
  if (request.mtu != 0) change.add_u32(IFLA_MTU, request.mtu);
  return netlink.request(change, "change the address of " + quote(request.name));
}

Result<void> remove_addresses(network::Netlink& netlink, int index) {
  std::vector<std::pair<ifaddrmsg, std::string>> found;
  network::Request list(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{});
  TRY(netlink.read_all(list, "list addresses", [&](const nlmsghdr& message) {
    if (message.nlmsg_type != RTM_NEWADDR || message.nlmsg_len < NLMSG_HDRLEN + sizeof(ifaddrmsg))
      return;
    ifaddrmsg body{};
    std::memcpy(&body, reinterpret_cast<const char*>(&message) + NLMSG_HDRLEN, sizeof body);
    if (body.ifa_index != static_cast<unsigned>(index)) return;
    for (const network::Attribute& one : network::attributes_of(message, sizeof body)) {
      // Of IPv4 the local one; IPv6 has no other.
      if (one.type == (body.ifa_family == AF_INET ? IFA_LOCAL : IFA_ADDRESS))
        found.emplace_back(body, std::string(one.bytes));
    }
  }));
  for (const auto& [body, address] : found) {
    network::Request remove(RTM_DELADDR, NLM_F_ACK, body);
    remove.add(body.ifa_family == AF_INET ? IFA_LOCAL : IFA_ADDRESS, address);
    TRY(netlink.request(remove, "remove an address"));
  }
  return {};
}

Result<void> give_addresses(network::LinkTable& links, int index, const NetworkRequest& request) {
  TRY(links.set_up(index));
  for (const std::string& address : request.addresses)
    TRY(add_address(links, index, address));
  for (const std::string& gateway : request.gateways)
    TRY(add_gateway(links, index, gateway));
  return {};
}

}  // namespace

Result<void> configure_again(const NetworkRequest& request) {
  network::LinkTable links = TRY(network::LinkTable::open());
  network::Netlink netlink = TRY(network::Netlink::open());
  const std::optional<network::Link> link = TRY(links.find(request.name));
  if (!link)
    return Error(Code::kNotFound,
                 "the machine was saved without an interface " + quote(request.name));
  TRY(remove_addresses(netlink, link->index));
  TRY(put_down(netlink, link->index, request));
  return give_addresses(links, link->index, request);
}

Result<void> configure(const NetworkRequest& request) {
  network::LinkTable links = TRY(network::LinkTable::open());
  const std::vector<network::Link> all = TRY(links.list());
  const network::Link* found = nullptr;
  const std::optional<network::Mac> mac = network::parse_mac(request.mac);
  for (const network::Link& link : all) {
    const bool fits = mac ? link.mac == mac : link.name != "lo";
    if (fits && found == nullptr) found = &link;
  }
  if (found == nullptr)
    return Error(Code::kNotFound,
                 "the guest's kernel sees no network card for " + quote(request.name))
        .hint("the kernel needs the module virtio_net");
  TRY(change(found->index, request));
  return give_addresses(links, found->index, request);
}

Result<void> configure_new(const NetworkRequest& request) {
  constexpr int kLooks = 160, kLookMs = 50;
  for (int look = 1;; ++look) {
    Result<void> done = configure(request);
    if (done || done.error().code() != Code::kNotFound || look == kLooks) return done;
    TRY(sys::poll({}, kLookMs));
  }
}

Result<void> make_way_out(const NetworkRequest& request) {
  network::LinkTable links = TRY(network::LinkTable::open());
  const std::optional<network::Link> link = TRY(links.find(request.name));
  if (!link) return Error(Code::kNotFound, "the guest has no interface " + quote(request.name));
  for (const std::string& gateway : request.gateways)
    TRY(add_gateway(links, link->index, gateway));
  return {};
}

Result<void> set_network_knobs(oci::Spec& spec) {
  for (const auto& [name, value] : spec.linux.sysctl) {
    const std::string path = oci::sysctl_path(name);
    if (!path.starts_with("net/")) continue;
    Result<void> set = fs::write_value(At::cwd(), "/proc/sys/" + path, value);
    if (!set) return std::move(std::move(set).error().during("linux.sysctl " + quote(name)));
  }
  std::erase_if(spec.linux.sysctl,
                [](const auto& one) { return oci::sysctl_path(one.first).starts_with("net/"); });
  return {};
}

}  // namespace vrun::vm
