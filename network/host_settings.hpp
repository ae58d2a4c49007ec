// Switches of the host's network namespace (sysctl) that bridges need.
//
// /proc/sys/net shows the namespace of the reader, so these change the caller's own and no other.
#pragma once

#include <string>

#include "base/host.hpp"
#include "base/result.hpp"

namespace vrun::network {

// Turns forwarding on for both families where it is off. Interfaces that take router advertisements
// go on doing so (accept_ra=2), which they else would not once the host forwards. Never turned off
// again: other programs may have come to rely on it.
Result<void> turn_on_forwarding(const Host& host);

// Before the bridge comes up: it takes no router advertisements from guests, and does not look for
// others with its link-local address. While it does, for two seconds, the kernel has no address to
// ask for guests with, and drops what it should forward to them.
Result<void> prepare_bridge(const Host& host, const std::string& bridge);
// 127.0.0.0/8 may be routed through the bridge: for ports published on the host's loopback.
Result<void> route_loopback(const Host& host, const std::string& bridge);

bool has_ipv6(const Host& host);

}  // namespace vrun::network
