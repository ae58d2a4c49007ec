// Takes away from the calling process whatever unpacking a layer does not need.
#pragma once

#include <span>

#include "base/result.hpp"

namespace vrun::images {

// For the child that reads foreign bytes: no descriptors but stdio and `keep`, no network, no path
// to any file (an empty root directory), no new privileges, and of root's capabilities only those
// that set owners, modes and attributes of files. Memory is bounded, so that a crafted header
// cannot eat the host's.
Result<void> enter_sandbox(std::span<const int> keep, bool privileged);

// For the child that talks to the network: no descriptors but stdio and `keep`, no new privileges,
// and when it is root, nobody's ids and no capabilities. It still sees the file tree (resolver,
// certificates), as nobody does.
Result<void> enter_network_sandbox(std::span<const int> keep);

}  // namespace vrun::images
