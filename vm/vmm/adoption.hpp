// What a guest that goes on from a snapshot is told (kAdopt of vm/agent/frames.hpp).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::vmm {

// `wish`: {"hostname"}, as the engine has it. The answer makes the request: with the host's time
// and fresh random numbers.
Result<std::function<std::string()>> adoption_of(std::string_view wish);

}  // namespace vrun::vmm
