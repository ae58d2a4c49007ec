// The time of day as text.
#pragma once

#include <string>

namespace vrun {

// RFC 3339, UTC, with nanoseconds ("2026-01-31T10:20:30.123456789Z"): texts compare like times.
std::string now_text();

}  // namespace vrun
