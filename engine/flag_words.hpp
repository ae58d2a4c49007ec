// The runtime's errors in the words of `vrun run`.
//
// The runtime speaks of its input, an OCI config.json: "linux.resources.memory.limit". Whoever
// typed --memory never saw that file; here the paths become the flags that they came from.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::engine {

// The same text with flags in place of JSON paths; what no flag stands for is left as it is.
std::string flags_for_paths(std::string_view text);

// The error as a user of `vrun` reads it: text and hint. Idempotent; code and step stay.
Error as_flags(Error error);

}  // namespace vrun::engine
