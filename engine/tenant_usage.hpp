// Accounting of a tenant's guests: who writes its usage records, and when. There is no daemon: a
// guest's start and end are written by the commands that see them, samples by whoever asks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"
#include "tenants/record.hpp"
#include "tenants/usage.hpp"

namespace vrun::engine {

// Nothing without root. What cannot be written is a warning: accounting stops no guest.
void note_usage_start(const Guests& guests, const GuestRecord& record);
// While its group and network are still there; also for a guest whose monitor was killed.
void note_usage_end(const Guests& guests, const GuestRecord& record);

// Writes a sample of every guest that runs.
Result<void> sample_usage(const Guests& guests);

// A time on the command line, in milliseconds since 1970: RFC 3339 or a date ("2026-11-01"), UTC,
// or how long ago ("24h", "90m").
Result<std::int64_t> parse_usage_time(const std::string& flag, const std::string& text);

}  // namespace vrun::engine
