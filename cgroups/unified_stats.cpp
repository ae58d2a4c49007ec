#include "cgroups/unified_stats.hpp"

#include <limits>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/stats_parse.hpp"
#include "cgroups/tree.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::size_t kMaxFile = 4U << 20U;
constexpr std::uint64_t kNsPerUs = 1000;

std::optional<std::string> read(At dir, const std::string& file) {
  Result<std::string> text = fs::read_file(dir, file, kMaxFile);
  if (!text) return std::nullopt;
  return *std::move(text);
}

std::uint64_t number(At dir, const std::string& file) {
  return parse_single(read(dir, file).value_or("")).value_or(0);
}

std::uint64_t key(const std::map<std::string, std::uint64_t>& keys, const std::string& name) {
  auto found = keys.find(name);
  return found == keys.end() ? 0 : found->second;
}

std::optional<Stats::CpuStats> read_cpu(At dir) {
  std::optional<std::string> text = read(dir, "cpu.stat");
  if (!text) return std::nullopt;
  auto keys = parse_flat_keyed(*text);
  Stats::CpuStats cpu;
  cpu.usage_ns = key(keys, "usage_usec") * kNsPerUs;
  cpu.user_ns = key(keys, "user_usec") * kNsPerUs;
  cpu.system_ns = key(keys, "system_usec") * kNsPerUs;
  cpu.periods = key(keys, "nr_periods");
  cpu.throttled_periods = key(keys, "nr_throttled");
  cpu.throttled_ns = key(keys, "throttled_usec") * kNsPerUs;
  cpu.pressure = read_pressure(dir, "cpu");
  return cpu;
}

std::optional<Stats::MemoryStats> read_memory(At dir) {
  std::optional<std::string> usage = read(dir, "memory.current");
  if (!usage) return std::nullopt;
  Stats::MemoryStats memory;
  memory.usage = parse_single(*usage).value_or(0);
  memory.max_usage = number(dir, "memory.peak");  // kernel 5.19
  memory.limit = number(dir, "memory.max");
  memory.raw = parse_flat_keyed(read(dir, "memory.stat").value_or(""));
  memory.cache = key(memory.raw, "file");
  memory.kernel_usage = key(memory.raw, "kernel");  // kernel 5.18
  auto events = parse_flat_keyed(read(dir, "memory.events").value_or(""));
  memory.failcnt = key(events, "max");
  memory.oom_kills = key(events, "oom_kill");
  memory.swap_usage = number(dir, "memory.swap.current");
  memory.swap_max_usage = number(dir, "memory.swap.peak");  // kernel 6.5
  memory.swap_limit = number(dir, "memory.swap.max");
  memory.swap_failcnt = key(parse_flat_keyed(read(dir, "memory.swap.events").value_or("")), "max");
  memory.pressure = read_pressure(dir, "memory");
  return memory;
}

std::optional<Stats::PidsStats> read_pids(At dir) {
  std::optional<std::string> current = read(dir, "pids.current");
  if (!current) return std::nullopt;
  std::uint64_t limit = number(dir, "pids.max");
  if (limit == std::numeric_limits<std::uint64_t>::max()) limit = 0;
  return Stats::PidsStats{parse_single(*current).value_or(0), limit};
}

std::optional<Stats::IoStats> read_io(At dir) {
  std::optional<std::string> text = read(dir, "io.stat");
  if (!text) return std::nullopt;
  struct Row {
    const char* key;
    const char* op;
    bool bytes;
  };
  static constexpr Row kRows[] = {{"rbytes", "Read", true},    {"wbytes", "Write", true},
                                  {"dbytes", "Discard", true}, {"rios", "Read", false},
                                  {"wios", "Write", false},    {"dios", "Discard", false}};
  Stats::IoStats io;
  for (const NestedLine& line : parse_nested_keyed(*text)) {
    auto device = parse_device(line.name);
    if (!device) continue;
    for (const Row& row : kRows) {
      auto found = line.values.find(row.key);
      if (found == line.values.end()) continue;
      (row.bytes ? io.bytes : io.operations)
          .push_back({device->first, device->second, row.op, found->second});
    }
  }
  io.pressure = read_pressure(dir, "io");
  return io;
}

std::vector<RdmaStats> read_rdma(At dir) {
  std::vector<RdmaStats> all;
  for (const NestedLine& line : parse_nested_keyed(read(dir, "rdma.current").value_or(""))) {
    all.push_back({line.name, key(line.values, "hca_handle"), key(line.values, "hca_object")});
  }
  return all;
}

}  // namespace

std::optional<PressureStall> read_pressure(At dir, const std::string& resource) {
  // EOPNOTSUPP where the kernel runs with psi=0, ENOENT where it has none.
  return parse_pressure(read(dir, resource + ".pressure").value_or(""));
}

std::map<std::string, HugetlbStats> read_unified_hugetlb(At dir) {
  std::map<std::string, HugetlbStats> all;
  Result<Fd> listing = sys::open_dir(dir, ".");
  if (!listing) return all;
  Result<std::vector<std::string>> names = sys::list_dir(listing->get());
  if (!names) return all;
  for (const std::string& name : *names) {
    // hugetlb.<size>.current
    if (!name.starts_with("hugetlb.") || !name.ends_with(".current")) continue;
    std::string size = name.substr(8, name.size() - 8 - 8);
    if (size.empty() || size.ends_with(".rsvd")) continue;
    std::string prefix = "hugetlb." + size;
    HugetlbStats one;
    one.usage = number(dir, name);
    one.max = number(dir, prefix + ".max");
    one.failcnt = key(parse_flat_keyed(read(dir, prefix + ".events").value_or("")), "max");
    all[size] = one;
  }
  return all;
}

Result<Stats> read_unified_stats(At dir) {
  std::vector<std::string> controllers = read_words(dir, "cgroup.controllers");
  if (controllers.empty() && !fs::read_file(dir, "cgroup.procs", kMaxFile)) {
    return Error(Code::kNotFound, "the container's cgroup does not exist");
  }
  Stats stats;
  // cpu.stat is there without the controller too (usage only), like the pressure files.
  stats.cpu = read_cpu(dir);
  stats.memory = read_memory(dir);
  stats.pids = read_pids(dir);
  stats.io = read_io(dir);
  stats.rdma = read_rdma(dir);
  for (const std::string& controller : controllers) {
    if (controller == "hugetlb") stats.hugetlb = read_unified_hugetlb(dir);
  }
  return stats;
}

}  // namespace vrun::cgroups
