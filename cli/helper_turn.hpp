// A helper program that does the whole of a verb, and vrun as the one that knows how it ended.
#pragma once

#include <functional>
#include <string_view>

#include "base/result.hpp"

namespace vrun::cli {

// `become` replaces the process by the helper; it returns only on failure, which is said. Answers
// the helper's exit code (128 + n: signal n). INT, QUIT, TERM and HUP are the helper's; it ends
// with this process.
Result<int> wait_for_helper(std::string_view verb, const std::function<Error()>& become);

}  // namespace vrun::cli
