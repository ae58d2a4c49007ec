// `vrun update --volume-add SRC:DST[:ro] --volume-rm DST`: volumes and folders of the host come and
// go, while the guest runs or not.
//
// A guest that runs gets the mount into its sandbox's mount namespace: a container sees it there,
// and so does a micro-VM of either engine, whose root is served from that tree (decision 020).
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// First `remove` (places inside), then `add` (as --volume, with absolute paths), one after the
// other: each is kept for the next starts once it is there, or gone. What the guest uses stays
// (kState). A volume that comes while the guest runs is not filled from the image.
Result<void> change_volumes(const Guests& guests, const GuestRecord& record,
                            const std::vector<std::string>& add,
                            const std::vector<std::string>& remove);

}  // namespace vrun::engine
