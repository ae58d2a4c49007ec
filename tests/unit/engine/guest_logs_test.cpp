#include "engine/guest_logs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/guest_setup.hpp"

namespace vrun::engine {
namespace {

TEST(GuestLogs, a_record_is_time_stream_flag_text) {
  const auto record = parse_log_record("2026-01-31T10:20:30.123456789Z stderr P a b ");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->time, "2026-01-31T10:20:30.123456789Z");
  EXPECT_TRUE(record->error);
  EXPECT_FALSE(record->whole);
  EXPECT_EQ(record->text, "a b ");
  EXPECT_EQ(parse_log_record("2026-01-31T10:20:30.123456789Z stdout F ")->text, "");
}

TEST(GuestLogs, what_is_none_is_passed_over) {
  for (const char* line : {"", "short", "2026-01-31T10:20:30.123456789Z stdin_ F x",
                           "2026-01-31T10:20:30.123456789Z stdout X x"})
    EXPECT_FALSE(parse_log_record(line)) << line;
}

TEST(GuestLogs, times_compare_as_texts) {
  EXPECT_EQ(*parse_log_time("2026-01-31T10:20:30Z"), "2026-01-31T10:20:30.000000000Z");
  EXPECT_EQ(*parse_log_time("2026-01-31T10:20:30.5Z"), "2026-01-31T10:20:30.500000000Z");
  EXPECT_EQ(*parse_log_time("2026-01-31"), "2026-01-31T00:00:00.000000000Z");
  EXPECT_EQ(*parse_log_time("0"), "1970-01-01T00:00:00.000000000Z");
  const std::string now = now_text();
  EXPECT_LT(*parse_log_time("10m"), now);
  EXPECT_GT(*parse_log_time("10m"), *parse_log_time("1h"));
  EXPECT_FALSE(parse_log_time("noon"));
  EXPECT_FALSE(parse_log_time("2026-01-31Tx"));
}

}  // namespace
}  // namespace vrun::engine
