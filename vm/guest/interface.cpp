#include "vm/guest/interface.hpp"

#include <cerrno>

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "base/text.hpp"
#include "network/address.hpp"
#include "network/links.hpp"
#include "network/netlink.hpp"

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

}  // namespace

Result<void> configure(const NetworkRequest& request) {
  network::LinkTable links = TRY(network::LinkTable::open());
  const std::vector<network::Link> all = TRY(links.list());
  const network::Link* found = nullptr;
  for (const network::Link& link : all) {
    if (link.name != "lo" && found == nullptr) found = &link;
  }
  if (found == nullptr)
    return Error(Code::kNotFound, "the guest's kernel sees no network interface")
        .hint("the kernel needs the module virtio_net");
  TRY(change(found->index, request));
  TRY(links.set_up(found->index));
  for (const std::string& address : request.addresses)
    TRY(add_address(links, found->index, address));
  for (const std::string& gateway : request.gateways)
    TRY(add_gateway(links, found->index, gateway));
  return {};
}

}  // namespace vrun::vm
