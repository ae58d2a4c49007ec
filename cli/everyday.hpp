// `vrun VERB`: the command line for people.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

// The exit code of the program. 125: vrun itself failed.
int everyday(int argc, char** argv);

// What people write closed up, as the parser wants it: "-it" becomes "-i -t", "-m64m" "-m 64m".
// Only words before the first positional one are looked at.
std::vector<std::string> spread_short_flags(std::span<const Flag> flags,
                                            std::span<const std::string> words);

}  // namespace vrun::cli
