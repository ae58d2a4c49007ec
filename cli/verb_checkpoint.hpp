// checkpoint, and restore of what it keeps.
#pragma once

#include "base/result.hpp"
#include "cli/run.hpp"

namespace vrun::cli {

Result<int> everyday_checkpoint(const EverydayCall& call);
Result<int> everyday_restore_named(const EverydayCall& call);

}  // namespace vrun::cli
