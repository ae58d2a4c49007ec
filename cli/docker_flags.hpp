// Docker's and Podman's flags that are spelled otherwise here, or are not here at all.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cli/options.hpp"

namespace vrun::cli {

// "--net" is "--network" for verbs that have that: the words before the first positional one, with
// the spelling of the table.
std::vector<std::string> with_our_spelling(std::span<const Flag> flags,
                                           std::vector<std::string> words);

// What to do instead of a flag that a verb has not; empty where nothing is known of it.
std::string_view instead_of_flag(std::string_view name);

// An error for the first flag before the first positional word that is known to be missing here.
Result<void> check_known_missing(std::span<const Flag> flags, std::span<const std::string> words);

}  // namespace vrun::cli
