// Takes away from vrun-manifest what reading text does not need.
#pragma once

#include "base/result.hpp"

namespace vrun::manifest {

// For good: no descriptors but stdio, no core file, at most 2 GiB of memory; of root, nobody's ids
// and no capabilities; of system calls, memory, the open descriptors, and opening for reading
// (zoneinfo, which nobody may read) alone: no program is run, no file written, no socket made, no
// other process touched. What else is called gets EPERM.
Result<void> give_up_rights();

}  // namespace vrun::manifest
