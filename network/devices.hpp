// linux.netDevices: interfaces of the host that move into the container.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::network {

// Moves each interface from the caller's network namespace into `netns_fd` under its new name (one
// that ends with %d is a template for the kernel, as the specification has it), and
// gives it back what the kernel takes on a move: its permanent addresses of global scope and the up
// state; MTU, hardware address and aliases survive by themselves. If one fails, those already moved
// go back, with their old names, addresses and state. Errors name the linux.netDevices entry.
Result<void> move_devices(const std::vector<oci::NetDevice>& devices, int netns_fd);

}  // namespace vrun::network
