// stats, top, port and cp: what they make of texts and numbers.
#include <gtest/gtest.h>

#include "cli/guest_path.hpp"
#include "cli/process_row.hpp"
#include "cli/published_ports.hpp"
#include "cli/stats_sample.hpp"

namespace vrun::cli {
namespace {

constexpr std::uint64_t kHostMemory = 1ULL << 34U;

Sample sample(std::int64_t at_ns, std::uint64_t cpu_ns) {
  Sample one;
  one.name = "web";
  one.at_ns = at_ns;
  one.stats.emplace().cpu.emplace().usage_ns = cpu_ns;
  return one;
}

TEST(Usage, cpu_percent_is_of_one_cpu_between_two_looks) {
  const Sample before = sample(1'000'000'000, 500'000'000);
  EXPECT_EQ(usage_between(&before, sample(3'000'000'000, 3'500'000'000), kHostMemory).cpu_percent,
            150.0);
  EXPECT_FALSE(usage_between(nullptr, before, kHostMemory).cpu_percent);
}

TEST(Usage, a_guest_that_was_started_anew_has_no_cpu_percent) {
  const Sample before = sample(1'000'000'000, 500'000'000);
  EXPECT_FALSE(usage_between(&before, sample(2'000'000'000, 1), kHostMemory).cpu_percent);
}

TEST(Usage, without_a_limit_the_host_s_memory_is_the_limit) {
  Sample one = sample(1, 1);
  one.stats->memory.emplace().usage = 5;
  EXPECT_EQ(usage_between(nullptr, one, kHostMemory).memory_limit, kHostMemory);
  one.stats->memory->limit = ~0ULL;
  EXPECT_EQ(usage_between(nullptr, one, kHostMemory).memory_limit, kHostMemory);
  one.stats->memory->limit = 64;
  EXPECT_EQ(usage_between(nullptr, one, kHostMemory).memory_limit, 64U);
}

TEST(Usage, disks_are_summed_by_direction) {
  Sample one = sample(1, 1);
  one.stats->io.emplace().bytes = {
      {8, 0, "Read", 10}, {8, 16, "Read", 5}, {8, 0, "Write", 7}, {8, 0, "Total", 99}};
  EXPECT_EQ(usage_between(nullptr, one, kHostMemory).block, (Traffic{15, 7}));
}

TEST(Usage, what_does_not_run_has_no_numbers) {
  const Usage usage = usage_between(nullptr, Sample{}, kHostMemory);
  EXPECT_FALSE(usage.runs);
  EXPECT_FALSE(usage.memory);
}

TEST(NetDev, all_interfaces_but_loopback_are_summed) {
  constexpr const char* kText =
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n"
      "    lo: 9000 10 0 0 0 0 0 0 9000 10 0 0 0 0 0 0\n"
      "  eth0:  100 1 0 0 0 0 0 0   20 1 0 0 0 0 0 0\n"
      "  eth1:1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
  EXPECT_EQ(parse_net_dev(kText), (Traffic{101, 22}));
  EXPECT_FALSE(parse_net_dev("    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"));
  EXPECT_FALSE(parse_net_dev(""));
}

TEST(LiveView, renews_in_place_without_clearing_what_stays) {
  EXPECT_EQ(renewed("a\nb\n", true), "\x1b[2J\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
  EXPECT_EQ(renewed("a\n", false), "\x1b[Ha\x1b[K\n\x1b[J");
}

constexpr std::string_view kStatus =
    "Name:\tsleep\nState:\tS (sleeping)\nNSpid:\t4000\t7\t1\nUid:\t524289\t524290\t0\t0\n"
    "VmRSS:\t     100 kB\nThreads:\t3\n";
constexpr std::string_view kStat = "4000 (a) b) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 3 0 9";

TEST(ProcessRow, has_both_numbers_and_the_guest_s_user) {
  const auto row = parse_process({kStatus, kStat,
                                  std::string_view("sleep\0"
                                                   "9\0",
                                                   8)},
                                 524288, 100);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->outside, 4000);
  EXPECT_EQ(row->inside, 7);
  EXPECT_EQ(row->uid, 2);
  EXPECT_EQ(row->state, 'S');
  EXPECT_EQ(row->threads, 3U);
  EXPECT_EQ(row->memory, 102400U);
  EXPECT_EQ(row->cpu_ms, 2000U);
  EXPECT_EQ(row->command, "sleep 9");
}

TEST(ProcessRow, without_a_command_line_its_name_stands_in_brackets) {
  EXPECT_EQ(parse_process({kStatus, kStat, ""}, 0, 100)->command, "[sleep]");
}

TEST(ProcessRow, with_the_host_s_pids_both_numbers_are_one) {
  const auto row = parse_process({"State:\tR\nNSpid:\t5\n", "", ""}, 0, 100);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->inside, 5);
  EXPECT_FALSE(parse_process({"", "", ""}, 0, 100));
}

TEST(ProcessRow, times_are_minutes_and_seconds) {
  EXPECT_EQ(clock_text(7410), "0:07.41");
  EXPECT_EQ(clock_text(3'600'000), "60:00.00");
}

std::string shown(const char* text, Families families = Families::kBoth) {
  std::string out;
  for (const PublishedPort& one : published(*network::parse_publish(text), families))
    out += one.inside + " " + one.where + "\n";
  return out;
}

TEST(PublishedPorts, each_port_of_a_range_and_each_family_has_a_line) {
  EXPECT_EQ(shown("8080:80/udp"), "80/udp 0.0.0.0:8080\n80/udp [::]:8080\n");
  EXPECT_EQ(shown("8080:80", Families::kIpv4), "80/tcp 0.0.0.0:8080\n");
  EXPECT_EQ(shown("127.0.0.1:8080:80"), "80/tcp 127.0.0.1:8080\n");
  EXPECT_EQ(shown("[::1]:8080:80"), "80/tcp [::1]:8080\n");
  EXPECT_EQ(shown("127.0.0.1:8000-8001:80-81"), "80/tcp 127.0.0.1:8000\n81/tcp 127.0.0.1:8001\n");
  EXPECT_EQ(shown("0.0.0.0::80"), "80/tcp 0.0.0.0:any\n");
}

TEST(GuestPaths, a_colon_names_a_guest_unless_the_word_is_a_path) {
  EXPECT_EQ(parse_guest_path("web:/etc").guest, "web");
  EXPECT_EQ(parse_guest_path("web:/etc").path, "/etc");
  EXPECT_EQ(parse_guest_path("web:a:b").path, "a:b");
  for (const char* word : {"./web:/etc", "/web:/etc", "-", "file", ":x"}) {
    EXPECT_EQ(parse_guest_path(word).guest, "") << word;
    EXPECT_EQ(parse_guest_path(word).path, word);
  }
}

}  // namespace
}  // namespace vrun::cli
