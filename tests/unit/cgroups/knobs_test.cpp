// What a config is translated into, for both kinds of hierarchies: compared as text.
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "cgroups/legacy_knobs.hpp"
#include "cgroups/unified_knobs.hpp"

namespace vrun::cgroups {
namespace {

using oci::Resources;

Reader files(std::map<std::string, std::string> contents = {}) {
  return [contents = std::move(contents)](std::string_view,
                                          const std::string& file) -> Result<std::string> {
    auto found = contents.find(file);
    if (found == contents.end()) return Error(Code::kNotFound, "no " + file);
    return found->second;
  };
}

std::string text(const Result<std::vector<Write>>& writes) {
  if (!writes) return "(" + writes.error().where() + ") " + writes.error().text();
  std::string all;
  for (const Write& one : *writes) {
    all += one.file + "=" + one.value + (one.lifts ? " lifts" : "") + "\n";
  }
  return all;
}

Resources memory(const oci::Memory& memory) {
  Resources resources;
  resources.memory = memory;
  return resources;
}
Resources cpu(const oci::Cpu& cpu) {
  Resources resources;
  resources.cpu = cpu;
  return resources;
}

std::string v2(const Resources& resources, std::map<std::string, std::string> contents = {}) {
  return text(unified_writes(resources, files(std::move(contents))));
}
std::string v1(const Resources& resources, std::map<std::string, std::string> contents = {}) {
  return text(legacy_writes(
      resources, [](std::string_view name) { return !name.starts_with("net_"); },
      files(std::move(contents))));
}

TEST(UnifiedKnobs, memory) {
  EXPECT_EQ(v2(memory({.limit = 100, .reservation = 50, .swap = 150})),
            "memory.swap.max=50\nmemory.max=100\nmemory.low=50\n");
  EXPECT_EQ(v2(memory({.limit = 100, .swap = 100})), "memory.swap.max=0 lifts\nmemory.max=100\n");
  EXPECT_EQ(v2(memory({.limit = -1})), "memory.swap.max=max lifts\nmemory.max=max lifts\n");
  EXPECT_EQ(v2(memory({.limit = 100, .swap = -1})), "memory.swap.max=max lifts\nmemory.max=100\n");
  EXPECT_EQ(v2(memory({.limit = 0, .reservation = 0, .swap = 0})), "");
}

TEST(UnifiedKnobs, swap_alone_counts_from_the_present_limit) {
  EXPECT_EQ(v2(memory({.swap = 150}), {{"memory.max", "100\n"}}), "memory.swap.max=50\n");
  EXPECT_EQ(v2(memory({.swap = 150}), {{"memory.max", "max\n"}}).substr(0, 29),
            "(linux.resources.memory.swap)");
  EXPECT_EQ(v2(memory({.limit = 100, .swap = 99})).substr(0, 29), "(linux.resources.memory.swap)");
}

TEST(UnifiedKnobs, usage_is_checked_before_an_update) {
  oci::Memory wanted{.limit = 100};
  wanted.check_before_update = true;
  EXPECT_EQ(v2(memory(wanted), {{"memory.current", "100\n"}}), "memory.max=100\n");
  EXPECT_NE(v2(memory(wanted), {{"memory.current", "101\n"}}).find("checkBeforeUpdate"),
            std::string::npos);
}

TEST(UnifiedKnobs, what_v2_lacks_is_an_error_if_it_asks_for_something) {
  oci::Memory one;
  one.swappiness = 0;
  EXPECT_NE(v2(memory(one)).find("(linux.resources.memory.swappiness)"), std::string::npos);
  one = {};
  one.kernel_tcp = 5;
  EXPECT_NE(v2(memory(one)).find("(linux.resources.memory.kernelTCP)"), std::string::npos);
  one = {};
  one.disable_oom_killer = true;
  EXPECT_NE(v2(memory(one)).find("(linux.resources.memory.disableOOMKiller)"), std::string::npos);
  one = {};
  one.disable_oom_killer = false;
  one.kernel_tcp = -1;
  one.use_hierarchy = true;
  EXPECT_EQ(v2(memory(one)), "");
  EXPECT_NE(v2(cpu({.realtime_runtime = 5})).find("(linux.resources.cpu.realtimeRuntime)"),
            std::string::npos);
  EXPECT_NE(v2(cpu({.realtime_period = 5})).find("(linux.resources.cpu.realtimePeriod)"),
            std::string::npos);
  EXPECT_EQ(v2(cpu({.realtime_runtime = 0, .realtime_period = 0})), "");
  Resources network;
  network.network.emplace().class_id = 5;
  EXPECT_NE(v2(network).find("(linux.resources.network.classID)"), std::string::npos);
  network.network->class_id = 0;
  EXPECT_EQ(v2(network), "");
  network.network->priorities = {{"eth0", 1}};
  EXPECT_NE(v2(network).find("(linux.resources.network.priorities)"), std::string::npos);
  Resources io;
  io.block_io.emplace().leaf_weight = 10;
  EXPECT_NE(v2(io).find("(linux.resources.blockIO.leafWeight)"), std::string::npos);
}

TEST(UnifiedKnobs, cpu) {
  EXPECT_EQ(v2(cpu({.shares = 1024, .quota = 5000, .period = 10000})),
            "cpu.weight=100\ncpu.max=5000 10000\n");
  EXPECT_EQ(v2(cpu({.quota = 5000})), "cpu.max=5000\n");
  EXPECT_EQ(v2(cpu({.quota = -1})), "cpu.max=max lifts\n");
  EXPECT_EQ(v2(cpu({.quota = -1, .period = 10000})), "cpu.max=max 10000 lifts\n");
  EXPECT_EQ(v2(cpu({.period = 10000}), {{"cpu.max", "7000 100000\n"}}), "cpu.max=7000 10000\n");
  EXPECT_EQ(v2(cpu({.quota = 5000, .burst = 3000})), "cpu.max.burst=3000\ncpu.max=5000\n");
  EXPECT_EQ(v2(cpu({.idle = 1})), "cpu.idle=1\n");
  EXPECT_EQ(v2(cpu({.cpus = "0-1", .mems = "0"})), "cpuset.cpus=0-1\ncpuset.mems=0\n");
  EXPECT_EQ(v2(cpu({.shares = 0, .quota = 0, .period = 0})), "");
}

TEST(UnifiedKnobs, pids) {
  Resources resources;
  resources.pids_limit = 7;
  EXPECT_EQ(v2(resources), "pids.max=7\n");
  resources.pids_limit = -1;
  EXPECT_EQ(v2(resources), "pids.max=max lifts\n");
  resources.pids_limit = 0;
  EXPECT_EQ(v2(resources), "pids.max=max lifts\n");
}

Resources io() {
  Resources resources;
  oci::BlockIo& io = resources.block_io.emplace();
  io.weight = 500;
  io.weight_devices = {{8, 0, 1000, {}}};
  io.throttle_read_bps = {{8, 0, 1024}};
  io.throttle_write_bps = {{8, 0, 2048}};
  io.throttle_read_iops = {{8, 16, 10}};
  io.throttle_write_iops = {{8, 16, 0}};
  return resources;
}

TEST(UnifiedKnobs, io) {
  EXPECT_EQ(v2(io()),
            "io.weight=4950\nio.weight=8:0 10000\nio.max=8:0 rbps=1024\nio.max=8:0 wbps=2048\n"
            "io.max=8:16 riops=10\nio.max=8:16 wiops=max lifts\n");
  EXPECT_EQ(v2(io(), {{"io.bfq.weight", "default 100\n"}}).substr(0, 41),
            "io.bfq.weight=500\nio.bfq.weight=8:0 1000\n");
  Resources nothing;
  nothing.block_io.emplace().weight = 0;  // engines send it
  EXPECT_EQ(v2(nothing), "");
}

TEST(UnifiedKnobs, hugetlb_and_rdma) {
  Resources resources;
  resources.hugepage_limits = {{"2MB", 4194304}};
  resources.rdma = {{"mlx5_0", 2, 2000}, {"mlx5_1", {}, 5}};
  EXPECT_EQ(v2(resources),
            "hugetlb.2MB.max=4194304\nhugetlb.2MB.rsvd.max=4194304\n"
            "rdma.max=mlx5_0 hca_handle=2 hca_object=2000\nrdma.max=mlx5_1 hca_object=5\n");
}

TEST(UnifiedKnobs, the_map_is_checked_and_written_by_line) {
  Resources resources;
  resources.unified = {{"memory.high", "5"}, {"io.max", "8:0 rbps=1\n8:16 rbps=2\n"}};
  EXPECT_EQ(text(unified_map_writes(resources)),
            "memory.high=5\nio.max=8:0 rbps=1\nio.max=8:16 rbps=2\n");
  for (const char* key : {"a/b.c", "../memory.max", "memory", ".max", "memory.", "cgroup.procs",
                          "cgroup.kill", "cgroup.freeze", "cgroup.threads"}) {
    resources.unified = {{key, "1"}};
    auto writes = unified_map_writes(resources);
    ASSERT_FALSE(writes) << key;
    EXPECT_EQ(writes.error().code(), Code::kInvalid);
    EXPECT_NE(writes.error().text().find(key), std::string::npos);
  }
}

TEST(LegacyKnobs, memory) {
  oci::Memory all{.limit = 100, .reservation = 50, .swap = 150, .kernel_tcp = 10};
  all.swappiness = 60;
  all.disable_oom_killer = true;
  EXPECT_EQ(v1(memory(all)),
            "memory.limit_in_bytes=100\nmemory.memsw.limit_in_bytes=150\n"
            "memory.soft_limit_in_bytes=50\nmemory.kmem.tcp.limit_in_bytes=10\n"
            "memory.swappiness=60\nmemory.oom_control=1\n");
  EXPECT_EQ(v1(memory({.limit = -1})),
            "memory.limit_in_bytes=-1 lifts\nmemory.memsw.limit_in_bytes=-1 lifts\n");
  EXPECT_NE(v1(memory({.limit = 100, .swap = 50})).find("(linux.resources.memory.swap)"),
            std::string::npos);
}

TEST(LegacyKnobs, cpu) {
  EXPECT_EQ(v1(cpu({.shares = 1024,
                    .quota = 5000,
                    .burst = 1000,
                    .period = 10000,
                    .realtime_runtime = 3,
                    .realtime_period = 4,
                    .cpus = "0",
                    .mems = "1",
                    .idle = 1})),
            "cpu.idle=1\ncpu.shares=1024\ncpu.cfs_burst_us=1000\ncpu.cfs_period_us=10000\n"
            "cpu.cfs_quota_us=5000\ncpu.rt_period_us=4\ncpu.rt_runtime_us=3\n"
            "cpuset.cpus=0\ncpuset.mems=1\n");
  EXPECT_NE(v1(cpu({.shares = 1})).find("(linux.resources.cpu.shares)"), std::string::npos);
  EXPECT_NE(v1(cpu({.shares = 262145})).find("not between"), std::string::npos);
}

TEST(LegacyKnobs, block_io) {
  EXPECT_EQ(
      v1(io()),
      "blkio.weight=500\nblkio.weight_device=8:0 1000\n"
      "blkio.throttle.read_bps_device=8:0 1024\nblkio.throttle.write_bps_device=8:0 2048\n"
      "blkio.throttle.read_iops_device=8:16 10\nblkio.throttle.write_iops_device=8:16 0 lifts\n");
  EXPECT_EQ(v1(io(), {{"blkio.bfq.weight", ""}}).substr(0, 53),
            "blkio.bfq.weight=500\nblkio.bfq.weight_device=8:0 1000");
  Resources leaf;
  leaf.block_io.emplace().leaf_weight = 20;
  leaf.block_io->weight_devices = {{8, 0, {}, 30}};
  EXPECT_EQ(v1(leaf), "blkio.leaf_weight=20\nblkio.leaf_weight_device=8:0 30\n");
}

TEST(LegacyKnobs, the_rest) {
  Resources resources;
  resources.pids_limit = 7;
  resources.hugepage_limits = {{"1GB", 5}};
  resources.network.emplace().class_id = 0x100001;
  resources.network->priorities = {{"eth0", 5}};
  resources.rdma = {{"mlx", 1, {}}};
  EXPECT_EQ(v1(resources),
            "pids.max=7\nnet_cls.classid=1048577\nhugetlb.1GB.limit_in_bytes=5\n"
            "hugetlb.1GB.rsvd.limit_in_bytes=5\nrdma.max=mlx hca_handle=1\n"
            "net_prio.ifpriomap=eth0 5\n");
}

TEST(LegacyKnobs, each_part_of_a_config_goes_to_exactly_one_kind_of_hierarchy) {
  Resources all = io();
  all.memory = oci::Memory{.limit = 100};
  all.cpu = oci::Cpu{.shares = 1024, .cpus = "0"};
  all.pids_limit = 5;
  all.hugepage_limits = {{"2MB", 1}};
  all.rdma = {{"mlx", 1, {}}};
  const std::set<std::string> names = {"memory", "cpu",     "cpuset", "pids",
                                       "blkio",  "hugetlb", "rdma"};
  std::size_t whole = 0;
  for (const std::string& chosen : names) {
    Bound only = [&](std::string_view name) { return name == chosen; };
    auto legacy = legacy_writes(all, only, files());
    auto rest = unified_writes(without_bound(all, only), files());
    ASSERT_TRUE(legacy && rest);
    for (const Write& one : *legacy)
      EXPECT_EQ(one.controller, chosen);
    for (const Write& one : *rest)
      EXPECT_NE(v1_controller(one.controller), chosen);
    EXPECT_FALSE(legacy->empty()) << chosen;
    std::set<std::string> fields;
    for (const Write& one : *legacy)
      fields.insert(one.where);
    for (const Write& one : *rest)
      fields.insert(one.where);
    if (whole == 0) whole = fields.size();
    EXPECT_EQ(fields.size(), whole) << chosen;
  }
}

TEST(Needs, what_lifts_limits_needs_no_controller) {
  Resources resources;
  resources.memory = oci::Memory{.limit = -1, .swap = -1};
  resources.memory->disable_oom_killer = false;
  resources.cpu = oci::Cpu{.shares = 0, .quota = -1};
  resources.pids_limit = -1;
  resources.block_io.emplace().weight = 0;
  resources.network.emplace();
  EXPECT_TRUE(needed_controllers(resources).empty());
}

TEST(Needs, what_limits_names_its_controller_and_field) {
  Resources resources;
  resources.memory = oci::Memory{.limit = 5};
  resources.cpu = oci::Cpu{.cpus = "0"};
  resources.unified = {{"io.max", "x"}, {"cgroup.max.depth", "1"}};
  auto needs = needed_controllers(resources);
  ASSERT_EQ(needs.size(), 3U);
  EXPECT_EQ(needs[0].controller, "memory");
  EXPECT_EQ(needs[1].controller, "cpuset");
  EXPECT_EQ(needs[2].controller, "io");
  EXPECT_EQ(needs[2].where, "linux.resources.unified['io.max']");
}

}  // namespace
}  // namespace vrun::cgroups
