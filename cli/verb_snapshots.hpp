// The verbs of cli/verbs_snapshots.hpp.
#pragma once

#include <string_view>

#include "cli/run.hpp"

namespace vrun::cli {

bool is_snapshot_verb(std::string_view verb);
Result<int> everyday_snapshot(std::string_view verb, const EverydayCall& call);

}  // namespace vrun::cli
