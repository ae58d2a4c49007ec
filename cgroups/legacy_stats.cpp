#include "cgroups/legacy_stats.hpp"

#include <limits>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/stats_parse.hpp"
#include "cgroups/unified_stats.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::size_t kMaxFile = 4U << 20U;
// "Unlimited" in v1: the largest page count in bytes, whatever the page size.
constexpr std::uint64_t kUnlimited = 0x7fffffffffff0000;

std::string read(int dir, const std::string& file) {
  Result<std::string> text = fs::read_file(At::borrowed(dir), file, kMaxFile);
  return text ? *std::move(text) : "";
}

std::uint64_t number(int dir, const std::string& file) {
  return parse_single(read(dir, file)).value_or(0);
}

std::uint64_t limit(int dir, const std::string& file) {
  std::uint64_t value = number(dir, file);
  return value >= kUnlimited ? std::numeric_limits<std::uint64_t>::max() : value;
}

std::uint64_t key(const std::map<std::string, std::uint64_t>& keys, const std::string& name) {
  auto found = keys.find(name);
  return found == keys.end() ? 0 : found->second;
}

Stats::CpuStats read_cpu(int cpu, int cpuacct) {
  Stats::CpuStats stats;
  if (cpuacct >= 0) {
    stats.usage_ns = number(cpuacct, "cpuacct.usage");
    stats.user_ns = number(cpuacct, "cpuacct.usage_user");
    stats.system_ns = number(cpuacct, "cpuacct.usage_sys");
    const std::string percpu = read(cpuacct, "cpuacct.usage_percpu");
    for (std::string_view word : split(trim(percpu), ' ')) {
      if (std::optional<std::uint64_t> value = parse_u64(word)) stats.percpu_ns.push_back(*value);
    }
    // A heading, then a line for each processor: number, user, system.
    const std::string all = read(cpuacct, "cpuacct.usage_all");
    for (std::string_view line : split(all, '\n')) {
      const std::vector<std::string_view> words = split(line, ' ');
      if (words.size() != 3 || !parse_u64(words[0])) continue;
      stats.percpu_user_ns.push_back(parse_u64(words[1]).value_or(0));
      stats.percpu_kernel_ns.push_back(parse_u64(words[2]).value_or(0));
    }
  }
  if (cpu >= 0) {
    auto keys = parse_flat_keyed(read(cpu, "cpu.stat"));
    stats.periods = key(keys, "nr_periods");
    stats.throttled_periods = key(keys, "nr_throttled");
    stats.throttled_ns = key(keys, "throttled_time");
  }
  return stats;
}

Stats::MemoryStats read_memory(int dir) {
  Stats::MemoryStats stats;
  stats.usage = number(dir, "memory.usage_in_bytes");
  stats.max_usage = number(dir, "memory.max_usage_in_bytes");
  stats.limit = limit(dir, "memory.limit_in_bytes");
  stats.failcnt = number(dir, "memory.failcnt");
  stats.raw = parse_flat_keyed(read(dir, "memory.stat"));
  stats.cache = key(stats.raw, "total_cache");
  stats.swap_usage = number(dir, "memory.memsw.usage_in_bytes");
  stats.swap_max_usage = number(dir, "memory.memsw.max_usage_in_bytes");
  stats.swap_limit = limit(dir, "memory.memsw.limit_in_bytes");
  stats.swap_failcnt = number(dir, "memory.memsw.failcnt");
  stats.kernel_usage = number(dir, "memory.kmem.usage_in_bytes");
  stats.oom_kills = key(parse_flat_keyed(read(dir, "memory.oom_control")), "oom_kill");
  return stats;
}

// The throttling counters exist with every scheduler; BFQ's own are those of its scheduling.
std::vector<BlkioEntry> read_blkio(int dir, const std::string& what) {
  std::vector<BlkioEntry> entries = parse_blkio(read(dir, "blkio.throttle." + what + "_recursive"));
  return entries.empty() ? parse_blkio(read(dir, "blkio.bfq." + what + "_recursive")) : entries;
}

std::map<std::string, HugetlbStats> read_hugetlb(int dir) {
  std::map<std::string, HugetlbStats> all;
  Result<Fd> listing = sys::open_dir(At::borrowed(dir), ".");
  if (!listing) return all;
  Result<std::vector<std::string>> names = sys::list_dir(listing->get());
  if (!names) return all;
  constexpr std::string_view kEnd = ".usage_in_bytes";
  for (const std::string& name : *names) {
    if (!name.starts_with("hugetlb.") || !name.ends_with(kEnd) || name.size() < 8 + kEnd.size()) {
      continue;
    }
    std::string size = name.substr(8, name.size() - 8 - kEnd.size());
    if (size.empty() || size.ends_with(".rsvd") || size.ends_with(".max")) continue;
    std::string prefix = "hugetlb." + size;
    if (prefix + std::string(kEnd) != name) continue;
    all[size] = {number(dir, name), number(dir, prefix + ".max_usage_in_bytes"),
                 number(dir, prefix + ".failcnt")};
  }
  return all;
}

}  // namespace

Result<Stats> read_legacy_stats(const std::function<int(std::string_view)>& directory, At v2) {
  Stats stats;
  int cpu = directory("cpu");
  int cpuacct = directory("cpuacct");
  if (cpu >= 0 || cpuacct >= 0) stats.cpu = read_cpu(cpu, cpuacct);
  if (int memory = directory("memory"); memory >= 0) stats.memory = read_memory(memory);
  if (int pids = directory("pids"); pids >= 0) {
    std::uint64_t most = number(pids, "pids.max");
    if (most == std::numeric_limits<std::uint64_t>::max()) most = 0;
    stats.pids = {number(pids, "pids.current"), most};
  }
  if (int blkio = directory("blkio"); blkio >= 0) {
    stats.io.emplace();
    stats.io->bytes = read_blkio(blkio, "io_service_bytes");
    stats.io->operations = read_blkio(blkio, "io_serviced");
  }
  if (int hugetlb = directory("hugetlb"); hugetlb >= 0) stats.hugetlb = read_hugetlb(hugetlb);
  if (v2.get() < 0) return stats;
  if (directory("hugetlb") < 0) stats.hugetlb = read_unified_hugetlb(v2);
  if (stats.cpu) stats.cpu->pressure = read_pressure(v2, "cpu");
  if (stats.memory) stats.memory->pressure = read_pressure(v2, "memory");
  if (stats.io) stats.io->pressure = read_pressure(v2, "io");
  return stats;
}

}  // namespace vrun::cgroups
