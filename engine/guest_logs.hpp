// Reading what guests said: logs/NUMBER.log in the format of engine/monitor/log.hpp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

struct LogRecord {
  std::string_view time;  // RFC 3339, UTC
  bool error = false;     // stderr
  bool whole = true;      // false: the line goes on in the next record of this stream
  std::string_view text;
};
// Empty for a line that is none (a disk that was full, a foreign hand).
std::optional<LogRecord> parse_log_record(std::string_view line);

struct LogsRequest {
  std::string since, until;           // RFC 3339 in UTC as now_text() writes it; empty: no limit
  std::optional<std::uint64_t> tail;  // only so many lines from the end
  bool follow = false;                // until the guest has ended
};
// Calls `on_record` in order; it answers false to stop.
Result<void> read_logs(const Guests& guests, const GuestRecord& record, const LogsRequest& request,
                       const std::function<bool(const LogRecord&)>& on_record);

// "2026-01-31T10:20:30Z", "2026-01-31T10:20", "2026-01-31", "1769855000" (Unix time), "10m" (ago),
// to the form that records compare with.
Result<std::string> parse_log_time(std::string_view text);

}  // namespace vrun::engine
