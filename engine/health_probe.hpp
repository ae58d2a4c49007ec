// Health checks without a program in the guest: "tcp://:5432" connects, "http://:8080/ready" asks
// and wants a status from 200 to 399. The address is always the guest's own loopback.
#pragma once

#include <optional>
#include <string>

#include "base/id.hpp"
#include "base/result.hpp"
#include "network/port_probe.hpp"

namespace vrun::engine {

// Nothing: `command` is none (it is a shell line). An error: it wants to be one and is wrong.
Result<std::optional<network::PortProbe>> parse_health_probe(const std::string& command);

// In the network namespace of process `pid`; the calling process stays there. Empty: all is well,
// else why not. Has no time limit of its own: the caller ends checks that take too long.
Result<std::string> probe_health(const network::PortProbe& probe, Pid pid);

}  // namespace vrun::engine
