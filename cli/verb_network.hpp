// `vrun network ...`.
#pragma once

#include <string_view>

#include "cli/run.hpp"

namespace vrun::cli {

bool is_network_verb(std::string_view verb);
Result<int> everyday_network(std::string_view verb, const EverydayCall& call);

}  // namespace vrun::cli
