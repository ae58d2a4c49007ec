// CronJobs: jobs that begin at certain times, without a daemon.
//
//   data/cron/TENANT/NAME/   job.json  what apply wrote
//                            due       the last time that has been dealt with, seconds since 1970
//                            last      what became of it: the name of its run, or why there is none
//   run/cron/TENANT          the lock and pid of the tenant's timer
//
// A tenant with CronJobs has one timer: vrun-monitor asleep until the next time (100 KiB), which
// then becomes `vrun guest-step TENANT cron tick`, begins what is due, and becomes the sleeper
// again. apply starts and wakes it, and repair() revives one that was killed. Each run is a guest
// of its own, NAME-YYYYMMDDHHMM in UTC: admission, policy and accounting see nothing special.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/request.hpp"

namespace vrun::engine {

struct CronJob {
  std::string name, manifest;
  std::string spec;  // as applied, for plans
  std::string schedule, time_zone;
  std::string concurrency;                 // allow, forbid, replace; empty: allow
  std::int64_t starting_deadline_ms = -1;  // < 0: however late
  std::uint64_t keep_succeeded = 3, keep_failed = 1;
  bool suspend = false;
  RunRequest request;
};

// Schedule and time zone. Pure but for the zone's file.
Result<void> check_cron(const CronJob& job);

Result<CronJob> read_cron_job(const Guests& guests, const std::string& name);  // kNotFound
Result<std::vector<CronJob>> list_cron_jobs(const Guests& guests);             // by name
// New or changed: what was due before this moment is not made up for. Wakes the timer.
Result<void> write_cron_job(const Guests& guests, const CronJob& job);
// Its runs stay. Afterwards none begins.
Result<void> remove_cron_job(const Guests& guests, const std::string& name);

struct CronState {
  std::optional<std::int64_t> next;  // none: it is suspended
  std::int64_t due = 0;              // the last time; 0: none yet
  std::string last;                  // its run, or why there is none
};
Result<CronState> cron_state(const Guests& guests, const CronJob& job);

// "backup-202601310430"; with seconds where the schedule has some.
std::string cron_run_name(const CronJob& job, std::int64_t due);

// What `guest-step TENANT cron tick` does; returns only when there are no jobs left or it failed.
Result<int> cron_tick(const Guests& guests);
// There is a timer if one is needed. One system call when there are no CronJobs.
Result<void> ensure_timer(const Guests& guests);

}  // namespace vrun::engine
