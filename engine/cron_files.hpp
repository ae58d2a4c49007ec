// What the two halves of CronJobs share: their files (cron_jobs.cpp) and their timer (cron.cpp).
#pragma once

#include <ctime>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// time(2) may be a tick behind the clock that the timer goes by.
inline std::int64_t now_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec;
}

std::string cron_dir(const Guests& guests);
// Held while jobs change and while a run is made: a job that was removed begins no more.
Result<Fd> lock_cron(const Guests& guests);
Result<void> write_cron_note(const Guests& guests, const std::string& name, const char* file,
                             const std::string& text);
// The last time that has been dealt with; now, if none is known.
std::int64_t cron_due(const Guests& guests, const std::string& name);
// It looks at the jobs again; started when there is none.
Result<void> wake_timer(const Guests& guests);

}  // namespace vrun::engine
