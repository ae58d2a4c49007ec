#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "network/firewall.hpp"
#include "network/flows.hpp"
#include "network/session.hpp"

namespace vrun::network {
namespace {

// Goes on after a failure and keeps the first.
class Tries {
 public:
  void add(Result<void> done) {
    if (!done && first_) first_ = std::move(done);
  }
  Result<void> result() { return std::move(first_); }

 private:
  Result<void> first_;
};

std::set<std::string> names_of(const std::vector<Link>& links) {
  std::set<std::string> names;
  for (const Link& link : links)
    names.insert(link.name);
  return names;
}

// A guest on no network for now has no interface that could tell; its engine ends it.
bool is_gone(const GuestRecord& record, const std::set<std::string>& links) {
  const auto& all = record.net.endpoints;
  return !all.empty() && std::none_of(all.begin(), all.end(), [&](const Endpoint& endpoint) {
    return links.contains(endpoint.host_side);
  });
}

std::string owner_of(const GuestRecord& record) {
  return record.net.tenant + "/" + record.net.guest;
}

// What the records say is in use.
struct InUse {
  std::set<std::string> owners, interfaces;
};

Result<InUse> in_use(Session& session) {
  InUse used;
  // A lease without an owner belongs to nobody: its writer died between making and filling it.
  if (!session.busy.empty()) used.owners.insert(session.busy);
  for (const GuestRecord& record : TRY(session.records.all_guests())) {
    used.owners.insert(owner_of(record));
    for (const Endpoint& endpoint : record.net.endpoints) {
      used.interfaces.insert(endpoint.host_side);
      if (record.net.bandwidth.out != 0) used.interfaces.insert(shaper_of(endpoint));
    }
  }
  return used;
}

Result<void> release_orphaned_leases(Session& session, const InUse& used,
                                     const std::vector<Network>& networks) {
  for (const Network& network : networks) {
    for (const std::string& address : TRY(session.records.leases(network.bridge))) {
      if (address.starts_with('.')) continue;
      const Result<std::string> owner = session.records.owner(network.bridge, address);
      if (owner && !used.owners.contains(*owner)) {
        TRY(session.records.release(network.bridge, address));
      }
    }
  }
  for (const Records::PortLease& lease : TRY(session.records.port_leases())) {
    const Result<std::string> owner = session.records.port_owner(lease);
    if (owner && !used.owners.contains(*owner)) TRY(session.records.release_port(lease));
  }
  return {};
}

// Ports of our bridges that no record knows: made by a command that died before it wrote them down,
// or kept alive by a namespace whose guest is gone.
Result<void> remove_stray_links(Session& session, const InUse& used,
                                const std::vector<Network>& networks,
                                const std::vector<Link>& links) {
  std::set<int> bridges;
  for (const Link& link : links) {
    const bool ours = std::any_of(networks.begin(), networks.end(), [&](const Network& network) {
      return network.bridge == link.name;
    });
    if (ours) bridges.insert(link.index);
  }
  for (const Link& link : links) {
    const bool stray = bridges.contains(link.bridge) && link.name.starts_with("ve") &&
                       !used.interfaces.contains(link.name);
    if (stray && session.busy.empty()) TRY(session.links.remove(link.name));
  }
  return {};
}

// They are no ports of a bridge; the address in the name says whose they are, as no two networks of
// a host share one.
Result<void> remove_stray_shapers(Session& session, const InUse& used,
                                  const std::vector<Network>& networks,
                                  const std::vector<Link>& links) {
  if (!session.busy.empty()) return {};
  for (const Link& link : links) {
    const std::optional<Ipv4> address = address_of_shaper(link.name);
    if (!address || used.interfaces.contains(link.name)) continue;
    const bool ours = std::any_of(networks.begin(), networks.end(), [&](const Network& network) {
      return network.subnet4.contains(*address);
    });
    if (ours) TRY(session.links.remove(link.name));
  }
  return {};
}

Result<void> check_rules(Session& session, const std::vector<Network>& networks,
                         const std::set<std::string>& links) {
  for (const Network& network : networks) {
    if (!links.contains(network.bridge)) continue;
    if (!TRY(rules_cover(network.bridge))) return sync_rules(session);
  }
  return {};
}

}  // namespace

Result<void> take_down(Session& session, GuestRecord record, Links links) {
  Tries tries;
  const std::vector<Publish> ports = std::move(record.net.ports);
  // First, so that nobody reaches by an old port who gets the address next.
  if (!ports.empty()) {
    const std::vector<RuledPorts> ruled = ruled_ports(record, ports);
    record.net.ports.clear();
    tries.add(session.records.save(record));  // sync_rules() reads it
    tries.add(change_rules(session, remove_ports_text(ruled)));
    tries.add(forget_flows(ruled));
    tries.add(release_ports(session, ports));
  }
  // The next one with the address gets the same name of the interface.
  if (record.net.bandwidth.packets != 0) tries.add(sync_packet_limits(session, owner_of(record)));
  for (const Endpoint& endpoint : record.net.endpoints) {
    tries.add(leave_names(session, record, endpoint));
    if (links == Links::kRemove) tries.add(session.links.remove(endpoint.host_side));
    if (record.net.bandwidth.out != 0) tries.add(remove_shaper(session, endpoint));
    tries.add(release_endpoint(session, endpoint));
  }
  tries.add(session.records.remove_guest(record.net.tenant, record.net.guest));
  return tries.result();
}

Result<void> repair(Session& session) {
  session.repaired = true;
  TRY(session.records.remove_drafts());
  const std::vector<Link> links = TRY(session.links.list());
  const std::set<std::string> names = names_of(links);
  for (const GuestRecord& record : TRY(session.records.all_guests())) {
    if (owner_of(record) == session.busy || !is_gone(record, names)) continue;
    TRY(take_down(session, record, Links::kLeave));
  }
  const std::vector<Network> networks = TRY(session.records.all_networks());
  const InUse used = TRY(in_use(session));
  TRY(release_orphaned_leases(session, used, networks));
  TRY(remove_stray_links(session, used, networks, links));
  TRY(remove_stray_shapers(session, used, networks, links));
  return check_rules(session, networks, names);
}

Result<bool> repair_once(Session& session) {
  if (session.repaired) return false;
  TRY(repair(session));
  return true;
}

}  // namespace vrun::network
