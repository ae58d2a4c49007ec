// The times of a CronJob: "minute hour day month weekday" as cron(5) reads it, @hourly and its
// like, or "@every 90s". Arithmetic alone; only TimeZone reads a file (/usr/share/zoneinfo).
//
// Where both day and weekday are restricted, one of them is enough (cron's old rule). Daylight
// saving: a time of the clock that does not exist is left out; one that comes twice counts once, at
// its first coming, unless the hour is `*`, which means every hour that passes.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::manifest {

struct Schedule {
  std::uint64_t minutes = 0;  // a bit each
  std::uint32_t hours = 0, days = 0, months = 0, weekdays = 0;
  bool every_hour = false, every_day = false, every_weekday = false;  // "*"
  std::int64_t every = 0;  // "@every": seconds, counted from 1970; else 0
};
// kInvalid: which field is wrong and why; also a date that never comes, such as 31 February.
Result<Schedule> parse_schedule(std::string_view text);

class TimeZone {
 public:
  // "" and "UTC" need no file. kInvalid: no such zone.
  static Result<TimeZone> find(const std::string& name);
  // Sets TZ of this process: for programs of one thread.
  tm local(std::int64_t time) const;

 private:
  explicit TimeZone(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

// In seconds since 1970: the first time after `after`; none: not within nine years.
std::optional<std::int64_t> next_time(const Schedule& schedule, const TimeZone& zone,
                                      std::int64_t after);
// The last time in (after, until]; none: there is none.
std::optional<std::int64_t> latest_time(const Schedule& schedule, const TimeZone& zone,
                                        std::int64_t after, std::int64_t until);

}  // namespace vrun::manifest
