// The kernel's memory of connections (conntrack), as far as published ports need it changed.
#pragma once

#include <span>

#include "base/result.hpp"
#include "network/rules.hpp"

namespace vrun::network {

// Forgets the connections that came in by these ports. Rules are looked at for the first packet
// only: a client of a UDP port that goes on sending would be led to an address that is another
// guest's by now, or nobody's. An open TCP connection is cut.
Result<void> forget_flows(std::span<const RuledPorts> ports);

}  // namespace vrun::network
