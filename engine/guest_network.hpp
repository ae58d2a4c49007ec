// Where a guest is joined to its network: called between the making of its namespaces and the start
// of its program, and again when it has ended.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/id.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "network/networks.hpp"
#include "network/wishes.hpp"

namespace vrun::engine {

// What is wrong with --network, --publish, --ip ... alone; said before anything is made.
Result<void> check_network(const RunRequest& request);
// --publish-all: what the image and --expose name gets a free port of the host each, but for what
// --publish names already.
Result<void> publish_exposed(const std::vector<std::string>& of_image, RunRequest& request);
// Has the guest no network namespace of its own (--network host, container:NAME)?
bool shares_network(const RunRequest& request);
// The path of the namespace that --network container:NAME names; empty for everything else.
Result<std::string> shared_network_path(const Guests& guests, const RunRequest& request);
// The network namespace of a guest that runs.
Result<Fd> netns_of(const Guests& guests, Pid pid);
// Interfaces, addresses, ports, hosts and resolv.conf. What was attached before an error is undone.
Result<void> attach_network(const Guests& guests, const GuestRecord& record, Pid pid);
// `update --publish-add, --publish-rm`: at once when it runs, and kept for its next starts.
Result<void> change_ports(const Guests& guests, const GuestRecord& record,
                          const std::vector<std::string>& add,
                          const std::vector<std::string>& remove);
// `network connect` and `disconnect`: at once when it runs, and kept for its next starts. `network`
// is a text of --network; to disconnect, the network's name alone. One that the guest has, or has
// not, is Code::kState.
Result<void> connect_network(const Guests& guests, const GuestRecord& record,
                             const std::string& network);
Result<void> disconnect_network(const Guests& guests, const GuestRecord& record,
                                const std::string& network);
// `update --bandwidth`: bits and packets per second as in RunRequest; "-1": no limit; empty: as it
// was.
struct BandwidthChange {
  std::string in, out, packets;
  bool any() const { return !in.empty() || !out.empty() || !packets.empty(); }
};
Result<void> change_bandwidth(const Guests& guests, const GuestRecord& record,
                              const BandwidthChange& change);
// The ports of a running guest as they are open, chosen ones included; else those that were asked
// for.
Result<std::vector<network::Publish>> ports_of(const Guests& guests, const GuestRecord& record);
// What it has at the moment; nothing while it does not run, but for the ports that were asked for.
Result<network::GuestNetwork> network_of(const Guests& guests, const GuestRecord& record);
// Of all its lives, over all networks that it was on. A life whose monitor was killed before it
// ended is missing: nobody was there to read its last numbers.
Result<network::Counters> traffic_of(const Guests& guests, const GuestRecord& record);
// Does it have interfaces of vrun, whose traffic_of() counts?
bool has_own_network(const RunRequest& request);
Result<void> rename_network(const Guests& guests, const std::string& old_name,
                            const GuestRecord& record);
// After the guest's end; nothing attached is success.
Result<void> detach_network(const Guests& guests, const GuestRecord& record);

}  // namespace vrun::engine
