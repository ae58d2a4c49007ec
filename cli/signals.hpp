// Signals by name or number, as kill(1) and runc take them.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::cli {

// "KILL", "SIGKILL", "sigkill", "9", "RTMIN+3", "RTMAX-1"; 0 asks only whether the process exists.
Result<int> parse_signal(std::string_view text);

}  // namespace vrun::cli
