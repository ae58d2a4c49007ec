// `vrun update --disk-add FILE[:ro] --disk-rm FILE`: disks of a system on disks, while it runs or
// not.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// First `remove`, then `add`, one after the other: each is kept for the next starts once it is
// there, or gone. Paths are absolute. Of a guest that runs the machine gets the disk, and its
// kernel is told; one that does not let go keeps it (kTimeout). The first disk stays. A command
// that was killed can be repeated.
Result<void> change_disks(const Guests& guests, const GuestRecord& record,
                          const std::vector<std::string>& add,
                          const std::vector<std::string>& remove);

}  // namespace vrun::engine
