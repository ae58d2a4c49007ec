// `vrun pull`, `push`, `login`, `logout`: flags into a request, then vrun-image takes over.
#pragma once

#include <string>
#include <string_view>

#include "cli/run.hpp"
#include "images/request.hpp"

namespace vrun::cli {

bool is_registry_verb(std::string_view verb);
// Does not return when vrun-image could be started.
Result<int> everyday_registry(std::string_view verb, const EverydayCall& call);

// Pure: what vrun-image is asked for.
Result<images::TransferRequest> to_transfer(std::string_view verb, const Arguments& arguments,
                                            const engine::Places& places);

}  // namespace vrun::cli
