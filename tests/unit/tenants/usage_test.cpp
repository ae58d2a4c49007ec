#include "tenants/usage.hpp"

#include <gtest/gtest.h>

namespace vrun::tenants {
namespace {

UsageRecord record(const char* event, std::int64_t seconds, std::uint64_t cpu_seconds,
                   std::uint64_t memory = 0, const char* life = "1") {
  UsageRecord one;
  one.guest = "g";
  one.name = "web";
  one.life = life;
  one.event = event;
  one.time_ms = seconds * 1000;
  one.cpu_us = cpu_seconds * 1'000'000;
  one.memory = memory;
  return one;
}

Usage of(const std::vector<UsageRecord>& records, std::int64_t from = 0, std::int64_t to = 10000) {
  return sum_usage(records, from * 1000, to * 1000)["g"].usage;
}

TEST(UsageTest, a_record_is_the_same_after_writing_and_reading) {
  UsageRecord one = record("sample", 5, 7, 9);
  one.io_read = 1;
  one.net_out = 2;
  EXPECT_EQ(*parse_usage(to_line(one)), one);
  EXPECT_FALSE(parse_usage("{\"time\":1,\"guest\":\"g\""));
  EXPECT_FALSE(parse_usage(""));
}

TEST(UsageTest, a_life_is_what_its_counters_grew_by) {
  const Usage usage = of({record("start", 10, 0), record("end", 20, 4, 100)});
  EXPECT_DOUBLE_EQ(usage.cpu_seconds, 4);
  EXPECT_DOUBLE_EQ(usage.memory_byte_seconds, 1000);  // the peak: nothing better is known
  EXPECT_EQ(usage.starts, 1U);
}

TEST(UsageTest, how_often_is_sampled_changes_no_counter) {
  const Usage once = of({record("start", 10, 0), record("end", 20, 4, 50)});
  const Usage often =
      of({record("start", 10, 0), record("sample", 12, 1, 50), record("sample", 12, 1, 50),
          record("sample", 19, 3, 50), record("end", 20, 4, 80), record("end", 20, 4, 80)});
  EXPECT_DOUBLE_EQ(once.cpu_seconds, often.cpu_seconds);
  EXPECT_DOUBLE_EQ(often.memory_byte_seconds, 500);
  EXPECT_EQ(often.starts, 1U);
}

TEST(UsageTest, lives_do_not_mix) {
  const Usage usage = of({record("start", 10, 0), record("end", 20, 4),
                          record("start", 30, 0, 0, "2"), record("end", 40, 1, 0, "2")});
  EXPECT_DOUBLE_EQ(usage.cpu_seconds, 5);
  EXPECT_EQ(usage.starts, 2U);
}

TEST(UsageTest, a_period_gets_its_part) {
  const std::vector<UsageRecord> records{record("start", 10, 0), record("end", 20, 10, 100)};
  EXPECT_DOUBLE_EQ(of(records, 15, 100).cpu_seconds, 5);
  EXPECT_DOUBLE_EQ(of(records, 0, 12).cpu_seconds, 2);
  EXPECT_DOUBLE_EQ(of(records, 12, 14).memory_byte_seconds, 200);
  EXPECT_EQ(of(records, 15, 100).starts, 0U);
  EXPECT_TRUE(sum_usage(records, 30000, 40000).empty());
}

TEST(UsageTest, a_life_that_a_power_failure_ended_counts_to_its_last_record) {
  EXPECT_DOUBLE_EQ(of({record("start", 10, 0), record("sample", 20, 6, 5)}).cpu_seconds, 6);
}

}  // namespace
}  // namespace vrun::tenants
