// `commit`, `diff`, `export` and `cp` of guests: what vrun-image does with the trees it is given
// (images/tree_request.hpp).
#pragma once

#include <string_view>

namespace vrun::images {

bool is_tree_verb(std::string_view verb);
// Does the whole verb, its output included; answers the exit code. Errors are printed.
int run_tree_verb(std::string_view verb, std::string_view request_json);

}  // namespace vrun::images
