// The verbs of volumes.
#pragma once

#include <string_view>

#include "cli/run.hpp"

namespace vrun::cli {

bool is_volume_verb(std::string_view verb);
Result<int> everyday_volume(std::string_view verb, const EverydayCall& call);

}  // namespace vrun::cli
