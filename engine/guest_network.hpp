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
// Has the guest no network namespace of its own (--network host, container:NAME)?
bool shares_network(const RunRequest& request);
// The path of the namespace that --network container:NAME names; empty for everything else.
Result<std::string> shared_network_path(const Guests& guests, const RunRequest& request);
// Interfaces, addresses, ports, hosts and resolv.conf. What was attached before an error is undone.
Result<void> attach_network(const Guests& guests, const GuestRecord& record, Pid pid);
// `network connect`, `network disconnect`: at once when it runs, and kept for its next starts.
// `join` as in --network: "back:alias=db". A guest that was taken off its only network comes back
// to it with its next start.
Result<void> connect_guest(const Guests& guests, const GuestRecord& record,
                           const std::string& join);
Result<void> disconnect_guest(const Guests& guests, const GuestRecord& record,
                              const std::string& network);
// `update --publish-add, --publish-rm`: at once when it runs, and kept for its next starts.
Result<void> change_ports(const Guests& guests, const GuestRecord& record,
                          const std::vector<std::string>& add,
                          const std::vector<std::string>& remove);
// The ports of a running guest as they are open, chosen ones included; else those that were asked
// for.
Result<std::vector<network::Publish>> ports_of(const Guests& guests, const GuestRecord& record);
// What it has now. Empty: nothing, as it does not run or has no network of its own.
Result<std::optional<network::GuestNetwork>> network_of(const Guests& guests,
                                                        const GuestRecord& record);
// --bandwidth-in and --bandwidth-out of `request` for a guest that runs.
Result<void> change_bandwidth(const Guests& guests, const GuestRecord& record,
                              const RunRequest& request);
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
