// One check of a guest: by a program inside it, or by asking one of its ports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// What a check that was killed answers, as timeout(1) does; engine/monitor/health.cpp knows it.
inline constexpr int kCheckLate = 124;

// The program's exit code. After `timeout_ms` it is killed with all that it started and that stayed
// in its session (kCheckLate): what hangs must not pile up in the guest. `word`: names a file of
// ours, so that several can run at once.
Result<int> check_by_program(const Guests& guests, const GuestRecord& record,
                             const std::vector<std::string>& command, std::int64_t timeout_ms,
                             std::string_view word);

// What a probe says now, as an exit code; why it is not good is noted for read_probe_states().
Result<int> check_guest(const Guests& guests, const Guest& guest, Probe probe);

}  // namespace vrun::engine
