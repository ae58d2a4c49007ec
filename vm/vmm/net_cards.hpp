// The network cards that a machine starts with.
#pragma once

#include <memory>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/net.hpp"

namespace vrun::vmm {

// Waits for all of them (vm/agent/cards.hpp). Whoever sends them is the host's side, not the guest.
Result<std::vector<std::unique_ptr<Net>>> take_cards(Fd socket);

}  // namespace vrun::vmm
