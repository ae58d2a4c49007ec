// Where a guest is joined to its network: called between the making of its namespaces and the start
// of its program, and again when it has ended.
#pragma once

#include <string>

#include "base/id.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// What of --network, --publish, --ip ... this build cannot do; said before anything is made.
Result<void> check_network(const RunRequest& request);
// `record` has the new name, and its directory too.
Result<void> rename_in_networks(const Guests& guests, const GuestRecord& record,
                                const std::string& old_name);
Result<void> attach_network(const Guests& guests, const GuestRecord& record, Pid pid);
Result<void> detach_network(const Guests& guests, const GuestRecord& record);

}  // namespace vrun::engine
