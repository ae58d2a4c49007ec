// One capability of this thread, put aside and taken again.
#pragma once

#include <linux/capability.h>

#include "base/result.hpp"

namespace vrun::sys {

// Takes a capability (CAP_*) out of this thread's effective set, or back in where it is permitted.
// Answers whether it was in; one that is not permitted stays out.
Result<bool> set_capability(int capability, bool effective);

}  // namespace vrun::sys
