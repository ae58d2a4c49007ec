// Statistics from files as real kernels write them.
#include <limits>
#include <random>

#include <fcntl.h>

#include "cgroups/legacy_stats.hpp"
#include "cgroups/stats_parse.hpp"
#include "cgroups/tree.hpp"
#include "cgroups/unified_stats.hpp"
#include "tests/unit/cgroups/temporary.hpp"

namespace vrun::cgroups {
namespace {

constexpr const char* kPsi =
    "some avg10=1.53 avg60=0.87 avg300=0.00 total=123456789\n"
    "full avg10=0.10 avg60=0.00 avg300=0.00 total=42\n";

TEST(StatsParse, pressure) {
  auto stall = parse_pressure(kPsi);
  ASSERT_TRUE(stall);
  EXPECT_DOUBLE_EQ(stall->some.avg10, 1.53);
  EXPECT_DOUBLE_EQ(stall->some.avg60, 0.87);
  EXPECT_EQ(stall->some.total_us, 123456789U);
  EXPECT_DOUBLE_EQ(stall->full.avg10, 0.10);
  EXPECT_EQ(stall->full.total_us, 42U);
  EXPECT_FALSE(parse_pressure(""));
  EXPECT_FALSE(parse_pressure("some\nfull\n"));
  stall = parse_pressure("some avg10=nan avg60=-1 avg300=1e99 total=99999999999999999999\n");
  ASSERT_TRUE(stall);
  EXPECT_DOUBLE_EQ(stall->some.avg10 + stall->some.avg60 + stall->some.avg300, 0);
  EXPECT_EQ(stall->some.total_us, 0U);
}

TEST(StatsParse, keys_and_numbers) {
  auto keys = parse_flat_keyed(
      "anon 4096\nfile 0\nbad\ntoo many words\nhuge 99999999999999999999\nneg -1\nlimit max\n");
  EXPECT_EQ(keys.size(), 3U);
  EXPECT_EQ(keys["anon"], 4096U);
  EXPECT_EQ(keys["limit"], std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(parse_single("12\n"), 12U);
  EXPECT_EQ(parse_single("max\n"), std::numeric_limits<std::uint64_t>::max());
  EXPECT_FALSE(parse_single("x"));
  auto lines = parse_nested_keyed("8:0 rbytes=1 wbytes=2 x y=\n\nmlx hca_handle=3\n");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].values.at("wbytes"), 2U);
  EXPECT_EQ(lines[0].values.size(), 2U);
}

TEST(StatsParse, devices) {
  EXPECT_EQ(parse_device("8:16"), std::pair(std::uint64_t(8), std::uint64_t(16)));
  for (const char* text : {"", ":", "8:", ":8", "8", "a:b", "8:1:2"})
    EXPECT_FALSE(parse_device(text));
  auto entries = parse_blkio("8:0 Read 1\n8:0 Total 3\nTotal 3\n8:0 Write x\n254:1 Write 2\n");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[1].major, 254U);
  EXPECT_EQ(entries[1].op, "Write");
}

TEST(StatsParse, any_bytes_are_survived) {
  std::mt19937 random(99);
  for (int round = 0; round < 3000; ++round) {
    std::string text(random() % 200, '\0');
    for (char& one : text)
      one = "0123456789 =:.\nmaxsome\0full"[random() % 27];
    (void)parse_pressure(text);
    (void)parse_flat_keyed(text);
    (void)parse_nested_keyed(text);
    (void)parse_blkio(text);
  }
}

class StatsFiles : public Temporary {
 protected:
  At at() {
    if (!fd_) fd_ = *sys::open(At::cwd(), dir_, O_PATH | O_DIRECTORY);
    return fd_;
  }
  Fd fd_;
};

TEST_F(StatsFiles, v2) {
  file("cgroup.controllers", "cpu io memory hugetlb pids rdma\n");
  file("cpu.stat",
       "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 9\nnr_throttled 3\n"
       "throttled_usec 77\n");
  file("cpu.pressure", kPsi);
  file("memory.current", "4096\n");
  file("memory.peak", "8192\n");
  file("memory.max", "max\n");
  file("memory.stat", "anon 1\nfile 2\nkernel 3\n");
  file("memory.events", "low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\n");
  file("memory.swap.current", "10\n");
  file("memory.swap.max", "20\n");
  file("memory.swap.events", "high 0\nmax 6\nfail 0\n");
  file("pids.current", "3\n");
  file("pids.max", "max\n");
  file("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n254:0 \nbad rbytes=1\n");
  file("rdma.current", "mlx5_0 hca_handle=2 hca_object=20\n");
  file("hugetlb.2MB.current", "2097152\n");
  file("hugetlb.2MB.rsvd.current", "9\n");
  file("hugetlb.2MB.max", "4194304\n");
  file("hugetlb.2MB.events", "max 8\n");
  auto stats = read_unified_stats(at());
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->cpu->usage_ns, 1500000U);
  EXPECT_EQ(stats->cpu->throttled_ns, 77000U);
  EXPECT_EQ(stats->cpu->throttled_periods, 3U);
  EXPECT_DOUBLE_EQ(stats->cpu->pressure->some.avg10, 1.53);
  EXPECT_EQ(stats->memory->usage, 4096U);
  EXPECT_EQ(stats->memory->max_usage, 8192U);
  EXPECT_EQ(stats->memory->limit, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(stats->memory->cache, 2U);
  EXPECT_EQ(stats->memory->kernel_usage, 3U);
  EXPECT_EQ(stats->memory->failcnt, 5U);
  EXPECT_EQ(stats->memory->oom_kills, 1U);
  EXPECT_EQ(stats->memory->swap_limit, 20U);
  EXPECT_EQ(stats->memory->swap_failcnt, 6U);
  EXPECT_FALSE(stats->memory->pressure);
  EXPECT_EQ(stats->pids->current, 3U);
  EXPECT_EQ(stats->pids->limit, 0U);
  ASSERT_EQ(stats->io->bytes.size(), 3U);
  EXPECT_EQ(stats->io->operations[1].op, "Write");
  EXPECT_EQ(stats->io->operations[1].value, 4U);
  ASSERT_EQ(stats->rdma.size(), 1U);
  EXPECT_EQ(stats->rdma[0].hca_objects, 20U);
  ASSERT_EQ(stats->hugetlb.size(), 1U);
  EXPECT_EQ(stats->hugetlb["2MB"].max, 4194304U);
  EXPECT_EQ(stats->hugetlb["2MB"].failcnt, 8U);
}

TEST_F(StatsFiles, v2_without_controllers) {
  file("cgroup.controllers", "\n");
  file("cgroup.procs", "");
  auto stats = read_unified_stats(at());
  ASSERT_TRUE(stats);
  EXPECT_FALSE(stats->memory || stats->pids || stats->io || stats->cpu);
}

TEST_F(StatsFiles, a_group_that_is_gone_is_an_error) {
  auto stats = read_unified_stats(at());
  ASSERT_FALSE(stats);
  EXPECT_EQ(stats.error().code(), Code::kNotFound);
}

TEST_F(StatsFiles, v1) {
  file("cpuacct.usage", "1500\n");
  file("cpuacct.usage_user", "1000\n");
  file("cpuacct.usage_sys", "500\n");
  file("cpuacct.usage_percpu", "700 800 \n");
  file("cpu.stat", "nr_periods 9\nnr_throttled 3\nthrottled_time 77\n");
  file("memory.usage_in_bytes", "4096\n");
  file("memory.max_usage_in_bytes", "8192\n");
  file("memory.limit_in_bytes", "9223372036854771712\n");
  file("memory.failcnt", "5\n");
  file("memory.stat", "cache 1\ntotal_cache 2\n");
  file("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
  file("memory.memsw.limit_in_bytes", "1000\n");
  file("pids.current", "3\n");
  file("pids.max", "9\n");
  file("blkio.throttle.io_service_bytes_recursive", "8:0 Read 10\n8:0 Write 20\nTotal 30\n");
  file("blkio.bfq.io_serviced_recursive", "8:0 Read 1\nTotal 1\n");
  file("hugetlb.1GB.usage_in_bytes", "5\n");
  file("hugetlb.1GB.max_usage_in_bytes", "6\n");
  file("hugetlb.1GB.rsvd.usage_in_bytes", "7\n");
  file("hugetlb.1GB.failcnt", "8\n");
  Fd none;
  int dir = at().get();
  auto stats = read_legacy_stats([&](std::string_view) { return dir; }, At(none));
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->cpu->usage_ns, 1500U);
  EXPECT_EQ(stats->cpu->percpu_ns, (std::vector<std::uint64_t>{700, 800}));
  EXPECT_EQ(stats->cpu->throttled_ns, 77U);
  EXPECT_EQ(stats->memory->limit, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(stats->memory->cache, 2U);
  EXPECT_EQ(stats->memory->oom_kills, 4U);
  EXPECT_EQ(stats->memory->swap_limit, 1000U);
  EXPECT_EQ(stats->pids->limit, 9U);
  EXPECT_EQ(stats->io->bytes.size(), 2U);
  EXPECT_EQ(stats->io->operations.size(), 1U);  // BFQ's where there are no others
  ASSERT_EQ(stats->hugetlb.size(), 1U);
  EXPECT_EQ(stats->hugetlb["1GB"].max, 6U);
}

TEST(KernelThread, is_told_by_the_flags_of_its_stat) {
  EXPECT_TRUE(is_kernel_thread("188 (kvm-nx-lpage-recovery-186) S 2 0 0 0 -1 2129984 0 0\n"));
  EXPECT_FALSE(is_kernel_thread("186 (a) S 2129984 b) S 2 2129984 0 0 -1 4194560 0 0\n"));
  EXPECT_FALSE(is_kernel_thread(""));
  EXPECT_FALSE(is_kernel_thread("188 (short) S 2"));
}

}  // namespace
}  // namespace vrun::cgroups
