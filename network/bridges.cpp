#include <algorithm>

#include "base/text.hpp"
#include "network/firewall.hpp"
#include "network/host_settings.hpp"
#include "network/session.hpp"

namespace vrun::network {
namespace {

constexpr std::uint32_t kUsualMtu = 1500;

Result<std::uint32_t> mtu_of(Session& session, const Network& network) {
  if (network.mtu != 0) return network.mtu;
  const std::optional<Link> uplink = TRY(session.links.uplink());
  return uplink ? uplink->mtu : kUsualMtu;
}

void forward(Session& session) {
  Result<void> on = turn_on_forwarding(session.host);
  if (on) return;
  session.warnings.push_back("guests reach nothing beyond this host: " + on.error().text() +
                             "; set net.ipv4.ip_forward=1 and net.ipv6.conf.all.forwarding=1");
}

Result<Link> set_up_bridge(Session& session, const Network& network, std::optional<Link> link) {
  if (!link) {
    const std::uint32_t mtu = TRY(mtu_of(session, network));
    TRY(session.links.make_bridge(
        {.name = network.bridge, .mac = mac_of(network.gateway4), .mtu = mtu}));
    link = TRY(session.links.find(network.bridge));
  }
  if (!link) return Error(Code::kInternal, "bridge " + quote(network.bridge) + " has vanished");
  if (auto prepared = prepare_bridge(session.host, network.bridge); !prepared) {
    session.warnings.push_back(
        "bridge " + network.bridge +
        " takes router advertisements from guests: " + prepared.error().text());
  }
  TRY(session.links.add_address(link->index, network.gateway4, network.subnet4.prefix));
  if (network.subnet6) {
    TRY(session.links.add_address(link->index, network.gateway6, network.subnet6->prefix));
  }
  TRY(limit_bridge(session, *link));
  TRY(session.links.set_up(link->index));
  return *link;
}

}  // namespace

RuledNetwork ruled(const Network& network) {
  return {network.bridge, network.internal, network.subnet4, network.subnet6};
}

Result<void> sync_rules(Session& session) {
  std::vector<RuledNetwork> networks;
  for (const Network& network : TRY(session.records.all_networks()))
    networks.push_back(ruled(network));
  std::vector<RuledPorts> ports;
  for (const GuestRecord& record : TRY(session.records.all_guests())) {
    const auto some = ruled_ports(record, record.net.ports);
    ports.insert(ports.end(), some.begin(), some.end());
  }
  return apply_rules(table_text(networks, ports));
}

Result<void> sync_packet_limits(Session& session, const std::string& without) {
  std::vector<PacketLimit> limits;
  for (const GuestRecord& record : TRY(session.records.all_guests())) {
    const std::uint64_t packets = record.net.bandwidth.packets;
    if (packets == 0 || record.net.tenant + "/" + record.net.guest == without) continue;
    for (const Endpoint& endpoint : record.net.endpoints)
      limits.push_back({endpoint.host_side, packets});
  }
  Result<void> set = apply_rules(packet_limits_text(limits));
  if (set) return set;
  return std::move(set).error().hint(
      "limiting packets needs nftables for bridges in the kernel (CONFIG_NF_TABLES_BRIDGE)");
}

Result<void> change_rules(Session& session, const std::string& text) {
  if (text.empty() || apply_rules(text)) return {};
  return sync_rules(session);
}

Result<Link> ensure_bridge(Session& session, const Network& network) {
  std::optional<Link> link = TRY(session.links.find(network.bridge));
  // Before the bridge comes up: there is no moment without the wall.
  if (!TRY(rules_cover(network.bridge))) TRY(sync_rules(session));
  if (!network.internal) forward(session);
  if (link && link->up) return *link;  // it goes up last
  return set_up_bridge(session, network, link);
}

}  // namespace vrun::network
