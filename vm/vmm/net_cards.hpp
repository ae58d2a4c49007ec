// The network cards that a machine starts with.
#pragma once

#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/net.hpp"

namespace vrun::vmm {

struct TakenCard {
  Fd tap;
  NetCard card;
};

// Waits for all of them (vm/agent/cards.hpp). Whoever sends them is the host's side, not the guest.
Result<std::vector<TakenCard>> take_cards(const Fd& socket);

}  // namespace vrun::vmm
