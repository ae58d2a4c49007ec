// One health check of a guest by a program inside it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// 0: the program succeeded in time. After `timeout_ms` it is killed with all that it started and
// that stayed in its session: checks that hang must not pile up in the guest.
Result<int> check_by_program(const Guests& guests, const GuestRecord& record,
                             const std::vector<std::string>& command, std::int64_t timeout_ms);

}  // namespace vrun::engine
