// One command's work on networks: the lock, the records, the host's interfaces; and the pieces that
// Networks is made of, each for one concern.
//
// Everything here expects the session's lock to be held, and leaves undoing to its caller.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/result.hpp"
#include "network/links.hpp"
#include "network/records.hpp"
#include "network/rules.hpp"

namespace vrun::network {

struct Session {
  std::string tenant;
  Host host;
  Records records;
  Fd lock;
  LinkTable links;
  std::string busy;  // "TENANT/GUEST" whose record is not written yet: repair leaves it alone
  bool repaired = false;
  std::vector<std::string> warnings;
};

// ---- networks (networks.cpp) ----
Result<Network> make_network(Session& session, const NewNetwork& wanted);
// By name; makes the default network.
Result<Network> network_for(Session& session, const std::string& name);

// ---- bridges (bridges.cpp) ----
// The network's bridge, up, with its addresses, behind rules; made when it is not there.
Result<Link> ensure_bridge(Session& session, const Network& network);
RuledNetwork ruled(const Network& network);
// All rules anew, from the records.
Result<void> sync_rules(Session& session);
// A change of the rules; where it cannot be made (somebody flushed them), all anew.
Result<void> change_rules(Session& session, const std::string& text);

// The limits of packets as the records have them, but for a guest that goes ("TENANT/GUEST").
Result<void> sync_packet_limits(Session& session, const std::string& without = "");

// ---- the tenant's limit (tenant_limit.cpp) ----
// Before the bridge comes up: all that passes it waits in the tenant's shapers, if it has a limit.
Result<void> limit_bridge(Session& session, const Link& bridge);
// With its last network.
Result<void> remove_tenant_shapers(Session& session);

// ---- addresses (endpoints.cpp) ----
// Leases the addresses of one interface; nothing is leased on failure.
Result<Endpoint> lease_endpoint(Session& session, const Network& network, const Join& join,
                                const std::string& interface, const std::string& owner);
Result<void> release_endpoint(Session& session, const Endpoint& endpoint);
// Makes the interface and gives it addresses and, if wanted, the default routes.
Result<void> plug_in(Session& session, const Network& network, const Endpoint& endpoint, int netns);
Result<void> add_default_routes(const Endpoint& endpoint, int netns);
// As `record` has them, in place of what was. The record is saved before: repair() knows by it
// which shapers belong to somebody.
Result<void> set_limits(Session& session, const GuestRecord& record);
// The interface that limits what an endpoint's guest sends; not there is success.
Result<void> remove_shaper(Session& session, const Endpoint& endpoint);
std::string shaper_of(const Endpoint& endpoint);
// The address in a name that shaper_of() has made.
std::optional<Ipv4> address_of_shaper(std::string_view name);

// ---- ports (publishing.cpp) ----
// Reserves host ports, chooses those that are 0; nothing is reserved on failure.
Result<std::vector<Publish>> reserve_ports(Session& session, const GuestRecord& record,
                                           const std::vector<Publish>& wanted);
Result<void> release_ports(Session& session, const std::vector<Publish>& ports);
// Ports and addresses of the guest are from now on its own under the name in `record`.
Result<void> own_leases(Session& session, const GuestRecord& record);
// The rules of these ports of the guest; none while it has no interface that leads outside.
std::vector<RuledPorts> ruled_ports(const GuestRecord& record, const std::vector<Publish>& ports);
Result<void> open_ports(Session& session, const GuestRecord& record,
                        const std::vector<Publish>& ports);

// ---- names (membership.cpp) ----
// Writes the guest's own hosts file and its lines into the others'.
Result<void> join_names(Session& session, const GuestRecord& record, const Endpoint& joined);
Result<void> leave_names(Session& session, const GuestRecord& record, const Endpoint& left);
Result<void> write_own_hosts(Session& session, const GuestRecord& record);

// ---- ends (repair.cpp) ----
// Takes everything of the guest back, as far as it goes; the first failure is told.
Result<void> take_down(Session& session, GuestRecord record, Links links);
Result<void> repair(Session& session);
// repair(), once in a session: true when it was done now, so that trying again makes sense.
Result<bool> repair_once(Session& session);

}  // namespace vrun::network
