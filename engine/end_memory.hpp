// Whose limit it was that something in a guest was killed for.
#pragma once

#include "engine/guest_end.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// What the kernel has counted in the guest's group, which is still there, and in its tenant's. A
// kill is the guest's own limit's where that was reached, else that of its tenant's budget where
// that was, else the host's or of a group above.
void add_memory_facts(const Guests& guests, const GuestRecord& record, EndFacts& facts);

}  // namespace vrun::engine
