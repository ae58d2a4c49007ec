// Signals by name or number, as kill(1) and runc take them.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun {

// "KILL", "SIGKILL", "sigkill", "9", "RTMIN+3", "RTMAX-1"; 0 asks only whether the process exists.
Result<int> parse_signal(std::string_view text);
// "KILL"; empty for a number that is none.
std::string signal_name(int signal);

}  // namespace vrun
