#include "manifest/schedule.hpp"

#include <gtest/gtest.h>

namespace vrun::manifest {
namespace {

std::int64_t at(const char* text) {
  tm utc{};
  EXPECT_NE(::strptime(text, "%Y-%m-%d %H:%M:%S", &utc), nullptr) << text;
  return ::timegm(&utc);
}

std::string text(std::optional<std::int64_t> time) {
  if (!time) return "never";
  const time_t seconds = *time;
  tm utc{};
  ::gmtime_r(&seconds, &utc);
  char out[32];
  std::strftime(out, sizeof out, "%Y-%m-%d %H:%M:%S", &utc);
  return out;
}

std::string next(const char* schedule, const char* after, const char* zone = "UTC") {
  const auto parsed = parse_schedule(schedule);
  if (!parsed) return parsed.error().text();
  const auto found = TimeZone::find(zone);
  if (!found) return found.error().text();
  return text(next_time(*parsed, *found, at(after)));
}

std::string latest(const char* schedule, const char* after, const char* until) {
  return text(latest_time(*parse_schedule(schedule), *TimeZone::find(""), at(after), at(until)));
}

std::string fault(const char* schedule) {
  const auto parsed = parse_schedule(schedule);
  return parsed ? "" : parsed.error().text();
}

TEST(Schedule, next_minute_is_after_never_at) {
  EXPECT_EQ(next("* * * * *", "2026-01-31 10:20:00"), "2026-01-31 10:21:00");
  EXPECT_EQ(next("* * * * *", "2026-01-31 10:20:59"), "2026-01-31 10:21:00");
  EXPECT_EQ(next("* * * * *", "2026-12-31 23:59:30"), "2027-01-01 00:00:00");
}

TEST(Schedule, fields_know_lists_ranges_steps_and_names) {
  EXPECT_EQ(next("5,35 * * * *", "2026-01-31 10:05:00"), "2026-01-31 10:35:00");
  EXPECT_EQ(next("*/15 * * * *", "2026-01-31 10:46:00"), "2026-01-31 11:00:00");
  EXPECT_EQ(next("10-20/5 * * * *", "2026-01-31 10:16:00"), "2026-01-31 10:20:00");
  EXPECT_EQ(next("7/20 * * * *", "2026-01-31 10:28:00"), "2026-01-31 10:47:00");
  EXPECT_EQ(next("0 9 * * mon-fri", "2026-01-30 09:00:00"), "2026-02-02 09:00:00");
  EXPECT_EQ(next("0 9 * JUL Sun", "2026-01-30 09:00:00"), "2026-07-05 09:00:00");
  EXPECT_EQ(next("0 0 * * 7", "2026-01-30 00:00:00"), "2026-02-01 00:00:00");
  EXPECT_EQ(next("  0\t0 1   * * ", "2026-01-30 00:00:00"), "2026-02-01 00:00:00");
}

TEST(Schedule, nicknames) {
  EXPECT_EQ(next("@yearly", "2026-01-01 00:00:00"), "2027-01-01 00:00:00");
  EXPECT_EQ(next("@monthly", "2026-01-31 00:00:00"), "2026-02-01 00:00:00");
  EXPECT_EQ(next("@weekly", "2026-01-30 12:00:00"), "2026-02-01 00:00:00");
  EXPECT_EQ(next("@daily", "2026-01-30 12:00:00"), "2026-01-31 00:00:00");
  EXPECT_EQ(next("@hourly", "2026-01-30 12:59:59"), "2026-01-30 13:00:00");
  EXPECT_EQ(next("@every 90s", "1970-01-01 00:01:00"), "1970-01-01 00:01:30");
  EXPECT_EQ(next("@every 1h30m", "1970-01-01 01:30:00"), "1970-01-01 03:00:00");
}

TEST(Schedule, leap_days_come_every_four_years_but_not_in_2100) {
  EXPECT_EQ(next("0 0 29 2 *", "2025-03-01 00:00:00"), "2028-02-29 00:00:00");
  EXPECT_EQ(next("0 0 29 2 *", "2096-03-01 00:00:00"), "2104-02-29 00:00:00");
  EXPECT_EQ(next("0 0 31 * *", "2026-02-01 00:00:00"), "2026-03-31 00:00:00");
}

TEST(Schedule, day_or_weekday_is_enough_when_both_are_restricted) {
  EXPECT_EQ(next("0 0 13 * fri", "2026-01-03 00:00:00"), "2026-01-09 00:00:00");
  EXPECT_EQ(next("0 0 13 * fri", "2026-01-09 00:00:00"), "2026-01-13 00:00:00");
  EXPECT_EQ(next("0 0 */2 * fri", "2026-01-03 00:00:00"), "2026-01-09 00:00:00");
}

TEST(Schedule, dates_that_never_come_are_refused) {
  EXPECT_NE(fault("0 0 31 2 *").find("no such day ever comes"), std::string::npos);
  EXPECT_NE(fault("0 0 30 2 *").find("no such day ever comes"), std::string::npos);
  EXPECT_NE(fault("0 0 31 4,6,9,11 *").find("no such day ever comes"), std::string::npos);
  EXPECT_EQ(fault("0 0 29 2 *"), "");
  EXPECT_EQ(fault("0 0 31 2 mon"), "");  // a Monday of February is enough
}

TEST(Schedule, faults_name_the_field) {
  for (const auto& [schedule, words] : {std::pair("60 * * * *", "minute '60'"),
                                        {"* 24 * * *", "hour '24'"},
                                        {"* * 0 * *", "day '0'"},
                                        {"* * * 13 *", "month '13'"},
                                        {"* * * * 8", "weekday '8'"},
                                        {"*/0 * * * *", "minute '*/0'"},
                                        {"5-1 * * * *", "minute '5-1'"},
                                        {"1,,2 * * * *", "minute '1,,2'"},
                                        {"-1 * * * *", "minute '-1'"},
                                        {"* * * * funday", "weekday 'funday'"},
                                        {"* * * *", "4 fields, not 5"},
                                        {"", "0 fields, not 5"},
                                        {"@often", "there are @yearly"},
                                        {"@every", "there are @yearly"},
                                        {"@every 0s", "from 1s to 366d"},
                                        {"@every 5", "from 1s to 366d"},
                                        {"@every 99999999999999999999s", "from 1s to 366d"}}) {
    EXPECT_NE(fault(schedule).find(words), std::string::npos)
        << schedule << ": " << fault(schedule);
  }
}

TEST(Schedule, zones_have_their_own_midnight) {
  EXPECT_EQ(next("0 0 * * *", "2026-01-30 12:00:00", "Asia/Kolkata"), "2026-01-30 18:30:00");
  EXPECT_EQ(next("0 0 * * *", "2026-07-30 12:00:00", "America/New_York"), "2026-07-31 04:00:00");
  EXPECT_NE(next("0 0 * * *", "2026-01-30 12:00:00", "Mars/Base").find("is no time zone"),
            std::string::npos);
  EXPECT_NE(next("0 0 * * *", "2026-01-30 12:00:00", "../etc/passwd").find("is no time zone"),
            std::string::npos);
  EXPECT_NE(next("0 0 * * *", "2026-01-30 12:00:00", "/etc/localtime").find("is no time zone"),
            std::string::npos);
}

// Paris: 2026-03-29 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00.
TEST(Schedule, a_time_that_does_not_exist_is_left_out) {
  EXPECT_EQ(next("30 2 * * *", "2026-03-28 02:00:00", "Europe/Paris"), "2026-03-30 00:30:00");
  EXPECT_EQ(next("30 * * * *", "2026-03-29 00:30:00", "Europe/Paris"), "2026-03-29 01:30:00");
  EXPECT_EQ(next("30 0 * * *", "2026-03-28 23:30:00", "Europe/Paris"), "2026-03-29 22:30:00");
}

TEST(Schedule, a_time_that_comes_twice_counts_once_unless_every_hour_counts) {
  EXPECT_EQ(next("30 2 * * *", "2026-10-24 22:00:00", "Europe/Paris"), "2026-10-25 00:30:00");
  EXPECT_EQ(next("30 2 * * *", "2026-10-25 00:30:00", "Europe/Paris"), "2026-10-26 01:30:00");
  EXPECT_EQ(next("30 * * * *", "2026-10-25 00:30:00", "Europe/Paris"), "2026-10-25 01:30:00");
}

TEST(Schedule, of_missed_times_the_latest_is_found) {
  EXPECT_EQ(latest("* * * * *", "2026-01-01 00:00:00", "2026-01-31 10:20:30"),
            "2026-01-31 10:20:00");
  EXPECT_EQ(latest("* * * * *", "1990-01-01 00:00:00", "2026-01-31 10:20:30"),
            "2026-01-31 10:20:00");
  EXPECT_EQ(latest("0 4 1 * *", "2026-01-01 04:00:00", "2026-01-31 10:20:30"), "never");
  EXPECT_EQ(latest("0 4 1 * *", "2025-12-31 04:00:00", "2026-01-31 10:20:30"),
            "2026-01-01 04:00:00");
  EXPECT_EQ(latest("0 0 29 2 *", "2020-01-01 00:00:00", "2027-01-01 00:00:00"),
            "2024-02-29 00:00:00");
  EXPECT_EQ(latest("@every 2s", "2026-01-01 00:00:00", "2026-01-01 00:00:01"), "never");
  EXPECT_EQ(latest("@every 2s", "2026-01-01 00:00:00", "2026-01-01 01:00:01"),
            "2026-01-01 01:00:00");
}

}  // namespace
}  // namespace vrun::manifest
