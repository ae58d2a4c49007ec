// The guest's network interface.
#pragma once

#include "base/result.hpp"
#include "vm/guest/request.hpp"

namespace vrun::vm {

// Gives the one interface that the machine has besides loopback its name, MTU, addresses and
// default routes, and brings it up. kNotFound when there is none.
Result<void> configure(const NetworkRequest& request);

}  // namespace vrun::vm
