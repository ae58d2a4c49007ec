// The one interface that every new network namespace has, and that comes up down.
#pragma once

#include "steps/child.hpp"

namespace vrun::network {

// kLoopbackUp: sets "lo" up in the current network namespace. Answers 0 or -errno.
long loopback_up(steps::Context& context);

}  // namespace vrun::network
