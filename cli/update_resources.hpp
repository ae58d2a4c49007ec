// The flags of `update` as the resources object that they stand for.
#pragma once

#include "base/result.hpp"
#include "cli/options.hpp"
#include "oci/spec.hpp"

namespace vrun::cli {

// Only what was given is set. Values outside their ranges are errors, all named at once.
Result<oci::Resources> resources_of(const Arguments& given);

}  // namespace vrun::cli
