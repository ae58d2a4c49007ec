#include "cgroups/allowance.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/stats_parse.hpp"

namespace vrun::cgroups {
namespace {

constexpr int kMostLevels = 64;
constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();
// "Unlimited" in v1: the largest page count in bytes, whatever the page size.
constexpr std::uint64_t kUnlimited = 0x7fffffffffff0000;

std::optional<std::string> read(const std::string& dir, const char* file) {
  std::array<char, 4096> buffer{};
  Result<std::string_view> text = fs::read_kernel_file(At::cwd(), dir + "/" + file, buffer);
  if (!text) return std::nullopt;
  return std::string(trim(*text));
}

std::optional<std::uint64_t> bytes(const std::string& dir, const char* file) {
  const std::optional<std::string> text = read(dir, file);
  if (!text) return std::nullopt;
  const std::optional<std::uint64_t> value = parse_single(*text);
  if (!value || *value >= kUnlimited) return std::nullopt;
  return value;
}

void lower(std::optional<std::uint64_t>& least, std::optional<std::uint64_t> value) {
  if (value && (!least || *value < *least)) least = value;
}

// The directory of the hierarchy that has the controller, and whether it is a v1 one.
struct Place {
  std::string dir;
  bool v1 = false;
};
Place place_of(const Location& location, std::string_view controller) {
  for (const auto& [name, dir] : location.paths) {
    const std::vector<std::string_view> bound = split(name, ',');
    if (std::find(bound.begin(), bound.end(), controller) != bound.end()) return {dir, true};
  }
  const auto v2 = location.paths.find("");
  return {v2 == location.paths.end() ? "" : v2->second, false};
}

// The group and those above it, up to where the hierarchy is mounted.
template <typename Look>
void for_each_level(std::string dir, const Look& look) {
  for (int level = 0; level < kMostLevels && dir.size() > 1; ++level) {
    if (!sys::stat(At::cwd(), dir + "/cgroup.procs")) return;
    if (!look(dir)) return;
    dir = std::string(fs::dir_name(dir));
  }
}

void read_memory(const Place& place, Allowance& allowance) {
  const auto look = [&](const std::string& dir) {
    std::optional<std::uint64_t> limit =
        bytes(dir, place.v1 ? "memory.limit_in_bytes" : "memory.max");
    if (!place.v1) lower(limit, bytes(dir, "memory.high"));
    if (!limit) return true;
    lower(allowance.memory, limit);
    const std::uint64_t used =
        bytes(dir, place.v1 ? "memory.usage_in_bytes" : "memory.current").value_or(0);
    lower(allowance.memory_free, *limit > used ? *limit - used : 0);
    return true;
  };
  for_each_level(place.dir, look);
}

void read_swap(const Place& place, Allowance& allowance) {
  const auto look = [&](const std::string& dir) {
    if (!place.v1) {
      lower(allowance.swap, bytes(dir, "memory.swap.max"));
      return true;
    }
    // v1 limits memory and swap together.
    const auto both = bytes(dir, "memory.memsw.limit_in_bytes");
    const auto memory = bytes(dir, "memory.limit_in_bytes");
    if (both) lower(allowance.swap, *both - std::min(*both, memory.value_or(0)));
    return true;
  };
  for_each_level(place.dir, look);
}

std::optional<std::uint64_t> milli(std::string_view quota, std::string_view period) {
  const auto most = parse_u64(quota), of = parse_u64(period);
  if (!most || !of || *of == 0 || *most > kNone / 1000) return std::nullopt;
  return *most * 1000 / *of;
}

void read_cpu(const Place& place, Allowance& allowance) {
  const auto look = [&](const std::string& dir) {
    if (place.v1) {
      const std::string quota = read(dir, "cpu.cfs_quota_us").value_or("-1");
      lower(allowance.cpu_milli, milli(quota, read(dir, "cpu.cfs_period_us").value_or("")));
      return true;
    }
    const std::string text = read(dir, "cpu.max").value_or("max 0");
    const std::vector<std::string_view> words = split(text, ' ');
    if (words.size() == 2) lower(allowance.cpu_milli, milli(words[0], words[1]));
    return true;
  };
  for_each_level(place.dir, look);
}

void read_cpuset(const Place& place, Allowance& allowance) {
  const auto look = [&](const std::string& dir) {
    const auto list = read(dir, place.v1 ? "cpuset.effective_cpus" : "cpuset.cpus.effective");
    if (list) allowance.cpus = parse_cpu_list(*list);
    return allowance.cpus.empty();
  };
  for_each_level(place.dir, look);
}

std::uint64_t key(const std::map<std::string, std::uint64_t>& keys, const char* name) {
  const auto found = keys.find(name);
  return found == keys.end() ? 0 : found->second;
}

}  // namespace

std::vector<unsigned> parse_cpu_list(std::string_view text) {
  constexpr std::uint64_t kMost = 4096;
  std::vector<unsigned> list;
  for (const std::string_view range : split(trim(text), ',')) {
    const std::size_t dash = range.find('-');
    const auto first = parse_u64(range.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_u64(range.substr(dash + 1));
    if (!first || !last || *last >= kMost) continue;
    for (std::uint64_t cpu = *first; cpu <= *last; ++cpu)
      list.push_back(static_cast<unsigned>(cpu));
  }
  return list;
}

Allowance read_allowance(const Location& location) {
  Allowance allowance;
  const Place memory = place_of(location, "memory");
  read_memory(memory, allowance);
  read_swap(memory, allowance);
  read_cpu(place_of(location, "cpu"), allowance);
  read_cpuset(place_of(location, "cpuset"), allowance);
  return allowance;
}

MemoryUse memory_use(const Location& location, const Stats::MemoryStats& stats) {
  const auto& raw = stats.raw;
  MemoryUse use;
  use.used = stats.usage;
  MemoryParts& parts = use.parts;
  if (!place_of(location, "memory").v1) {
    use.swap = stats.swap_usage;
    parts = {key(raw, "file"),
             key(raw, "anon"),
             key(raw, "shmem"),
             key(raw, "file_mapped"),
             key(raw, "file_dirty"),
             key(raw, "file_writeback"),
             key(raw, "inactive_anon"),
             key(raw, "active_anon"),
             key(raw, "inactive_file"),
             key(raw, "active_file"),
             key(raw, "unevictable"),
             key(raw, "slab_reclaimable"),
             key(raw, "slab_unreclaimable"),
             key(raw, "kernel_stack"),
             key(raw, "pagetables")};
    return use;
  }
  use.swap = key(raw, "total_swap");
  parts.file = key(raw, "total_cache");
  parts.anon = key(raw, "total_rss");
  parts.shmem = key(raw, "total_shmem");
  parts.mapped = key(raw, "total_mapped_file");
  parts.dirty = key(raw, "total_dirty");
  parts.writeback = key(raw, "total_writeback");
  parts.inactive_anon = key(raw, "total_inactive_anon");
  parts.active_anon = key(raw, "total_active_anon");
  parts.inactive_file = key(raw, "total_inactive_file");
  parts.active_file = key(raw, "total_active_file");
  parts.unevictable = key(raw, "total_unevictable");
  return use;
}

}  // namespace vrun::cgroups
