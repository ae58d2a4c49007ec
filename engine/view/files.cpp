#include "engine/view/files.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

#include "base/text.hpp"

namespace vrun::view {
namespace {

template <typename... Words>
std::string format(const char* how, Words... words) {
  std::array<char, 256> line{};
  const int n = std::snprintf(line.data(), line.size(), how, words...);
  return std::string(line.data(),
                     std::min(static_cast<std::size_t>(std::max(n, 0)), line.size() - 1));
}

std::string kilobytes(const char* name, std::uint64_t bytes) {
  return format("%-16s%8llu kB\n", name, static_cast<unsigned long long>(bytes / 1024));
}

// What could be had without swapping: free memory and the cache that can be dropped.
std::uint64_t available(const Facts& facts) {
  const cgroups::MemoryParts& m = facts.memory;
  const std::uint64_t cache = m.active_file + m.inactive_file + m.slab_reclaimable;
  return std::min(facts.memory_total, facts.memory_free + cache);
}

std::string meminfo(const Facts& facts) {
  const cgroups::MemoryParts& m = facts.memory;
  const std::uint64_t room = facts.memory_total - facts.memory_free;
  struct Row {
    const char* name;
    std::uint64_t bytes;
  };
  const Row rows[] = {
      {"MemTotal:", facts.memory_total},
      {"MemFree:", facts.memory_free},
      {"MemAvailable:", available(facts)},
      {"Buffers:", 0},
      {"Cached:", std::min(m.file, room)},
      {"SwapCached:", 0},
      {"Active:", m.active_anon + m.active_file},
      {"Inactive:", m.inactive_anon + m.inactive_file},
      {"Active(anon):", m.active_anon},
      {"Inactive(anon):", m.inactive_anon},
      {"Active(file):", m.active_file},
      {"Inactive(file):", m.inactive_file},
      {"Unevictable:", m.unevictable},
      {"Mlocked:", 0},
      {"SwapTotal:", facts.swap_total},
      {"SwapFree:", facts.swap_total - facts.swap_used},
      {"Dirty:", m.dirty},
      {"Writeback:", m.writeback},
      {"AnonPages:", m.anon},
      {"Mapped:", m.mapped},
      {"Shmem:", m.shmem},
      {"KReclaimable:", m.slab_reclaimable},
      {"Slab:", m.slab_reclaimable + m.slab_unreclaimable},
      {"SReclaimable:", m.slab_reclaimable},
      {"SUnreclaim:", m.slab_unreclaimable},
      {"KernelStack:", m.kernel_stack},
      {"PageTables:", m.page_tables},
  };
  std::string text;
  for (const Row& row : rows)
    text += kilobytes(row.name, row.bytes);
  return text;
}

// The host's description of the processors that are shown. It has one paragraph for each, which
// begins with its number ("processor : 3").
std::string cpuinfo(const Facts& facts, std::string_view host) {
  std::string text;
  while (!host.empty()) {
    const std::size_t end = std::min(host.find("\n\n"), host.size());
    const std::string_view paragraph = host.substr(0, end);
    host.remove_prefix(std::min(end + 2, host.size()));
    if (!paragraph.starts_with("processor")) {
      if (!paragraph.empty()) text.append(paragraph).append("\n\n");
      continue;
    }
    const std::string_view line = paragraph.substr(0, paragraph.find('\n'));
    const auto number = parse_u64(trim(line.substr(std::min(line.find(':') + 1, line.size()))));
    if (!number) continue;
    if (std::find(facts.cpus.begin(), facts.cpus.end(), *number) == facts.cpus.end()) continue;
    text.append(paragraph).append("\n\n");
  }
  return text;
}

constexpr double kTicks = 100;  // USER_HZ of every architecture with a choice

// A guest may run on any processor of its cpuset: what it used is spread evenly over those shown.
std::string stat(const Facts& facts) {
  const double shown = static_cast<double>(facts.cpus.size());
  const double user = static_cast<double>(facts.user_ns) / 1e9 * kTicks;
  const double system = static_cast<double>(facts.system_ns) / 1e9 * kTicks;
  const double idle = std::max(0.0, facts.uptime * kTicks * shown - user - system);
  const auto line = [&](const std::string& name, double share) {
    return format("%s %llu 0 %llu %llu 0 0 0 0 0 0\n", name.c_str(),
                  static_cast<unsigned long long>(user * share),
                  static_cast<unsigned long long>(system * share),
                  static_cast<unsigned long long>(idle * share));
  };
  std::string text = line("cpu ", 1);
  for (const unsigned cpu : facts.cpus)
    text += line("cpu" + std::to_string(cpu), 1 / shown);
  text += "intr 0\nctxt 0\n";
  text += "btime " + std::to_string(facts.booted) + "\n";
  text += "processes " + std::to_string(facts.processes) + "\n";
  text += "procs_running " + std::to_string(std::max<std::uint64_t>(1, facts.running)) + "\n";
  return text + "procs_blocked 0\n";
}

std::string uptime(const Facts& facts) {
  const double used = static_cast<double>(facts.user_ns + facts.system_ns) / 1e9;
  const double shown = static_cast<double>(facts.cpus.size());
  return format("%.2f %.2f\n", facts.uptime, std::max(0.0, facts.uptime * shown - used));
}

std::string loadavg(const Facts& facts) {
  return format("%.2f %.2f %.2f %llu/%llu %llu\n", facts.load[0], facts.load[1], facts.load[2],
                static_cast<unsigned long long>(facts.running),
                static_cast<unsigned long long>(facts.processes),
                static_cast<unsigned long long>(facts.processes));
}

// "  8  0 sda ..." of the host gives a device's name; the counts are those of the guest's group.
std::string diskstats(const Facts& facts, std::string_view host) {
  struct Counts {
    std::uint64_t reads = 0, read_bytes = 0, writes = 0, written_bytes = 0;
  };
  std::map<std::pair<std::uint64_t, std::uint64_t>, Counts> devices;
  for (const cgroups::BlkioEntry& entry : facts.io_bytes) {
    Counts& counts = devices[{entry.major, entry.minor}];
    if (entry.op == "Read") counts.read_bytes = entry.value;
    if (entry.op == "Write") counts.written_bytes = entry.value;
  }
  for (const cgroups::BlkioEntry& entry : facts.io_operations) {
    Counts& counts = devices[{entry.major, entry.minor}];
    if (entry.op == "Read") counts.reads = entry.value;
    if (entry.op == "Write") counts.writes = entry.value;
  }
  std::string text;
  for (const std::string_view line : split(host, '\n')) {
    std::vector<std::string_view> words = split(line, ' ');
    std::erase_if(words, [](std::string_view word) { return word.empty(); });
    if (words.size() < 3) continue;
    const auto major = parse_u64(words[0]), minor = parse_u64(words[1]);
    if (!major || !minor || !devices.contains({*major, *minor})) continue;
    const Counts& c = devices[{*major, *minor}];
    text += format("%4llu %7llu %s %llu 0 %llu 0 %llu 0 %llu 0 0 0 0\n",
                   static_cast<unsigned long long>(*major), static_cast<unsigned long long>(*minor),
                   std::string(words[2].substr(0, 64)).c_str(),
                   static_cast<unsigned long long>(c.reads),
                   static_cast<unsigned long long>(c.read_bytes / 512),
                   static_cast<unsigned long long>(c.writes),
                   static_cast<unsigned long long>(c.written_bytes / 512));
  }
  return text;
}

std::string swaps(const Facts& facts) {
  std::string text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
  if (facts.swap_total == 0) return text;
  return text + format("none\t\t\t\t\tvirtual\t\t%llu\t\t%llu\t\t0\n",
                       static_cast<unsigned long long>(facts.swap_total / 1024),
                       static_cast<unsigned long long>(facts.swap_used / 1024));
}

}  // namespace

std::string cpu_list(const std::vector<unsigned>& cpus) {
  std::string text;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t end = i;
    while (end + 1 < cpus.size() && cpus[end + 1] == cpus[end] + 1)
      ++end;
    if (!text.empty()) text += ",";
    text += std::to_string(cpus[i]);
    if (end > i) text += "-" + std::to_string(cpus[end]);
    i = end + 1;
  }
  return text;
}

std::string render(File file, const Facts& facts, std::string_view host) {
  switch (file) {
    case File::kMeminfo:
      return meminfo(facts);
    case File::kCpuinfo:
      return cpuinfo(facts, host);
    case File::kStat:
      return stat(facts);
    case File::kUptime:
      return uptime(facts);
    case File::kLoadavg:
      return loadavg(facts);
    case File::kDiskstats:
      return diskstats(facts, host);
    case File::kSwaps:
      return swaps(facts);
    case File::kOnline:
    case File::kPossible:
    case File::kPresent:
      return cpu_list(facts.cpus) + "\n";
  }
  return "";
}

}  // namespace vrun::view
