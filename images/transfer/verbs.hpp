// `vrun pull`, `push`, `login` and `logout`: what vrun-image does when vrun has read the flags.
#pragma once

#include <string_view>

#include "base/result.hpp"
#include "images/request.hpp"

namespace vrun::images {

bool is_network_verb(std::string_view verb);

// Does the whole verb, its output included. Answers the exit code; errors are printed, or written
// to the request's report descriptor.
int run_network_verb(std::string_view verb, std::string_view request_json);

}  // namespace vrun::images
