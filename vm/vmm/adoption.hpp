// What a guest that goes on from a snapshot is told (kAdopt of vm/agent/frames.hpp).
#pragma once

#include <string>
#include <string_view>

namespace vrun::vmm {

// `guest`: who it is now, as the engine wrote it (JSON). With the host's time and fresh random
// numbers.
std::string adoption_of(std::string_view guest);

}  // namespace vrun::vmm
