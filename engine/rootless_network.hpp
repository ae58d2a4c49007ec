// The network of an unprivileged user's guest: a process of pasta or slirp4netns beside it.
//
// There is one for each running guest with a network, started before the guest's program and ended
// with the guest's life by whoever writes that down; if all of them were killed, the next command
// ends it. It outlives the guest's monitor, so that a new one finds the guest with its network.
//
//   run/uplinks/ID   "PID START" of that process
#pragma once

#include "base/id.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "network/networks.hpp"

namespace vrun::engine {

// Gives the network namespace of `pid` a way out and the ports of `request`. With neither program
// installed, and nothing but the default network wanted, the guest has loopback only: a warning.
Result<void> attach_uplink(const Guests& guests, const GuestRecord& record,
                           const network::AttachRequest& request, Pid pid);
// Nothing attached is success.
Result<void> detach_uplink(const Guests& guests, const std::string& id);
// Those of guests that do not run.
Result<void> sweep_uplinks(const Guests& guests);

}  // namespace vrun::engine
