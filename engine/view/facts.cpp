#include "engine/view/facts.hpp"

#include <algorithm>
#include <array>

#include <time.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::view {
namespace {

constexpr std::size_t kMostProcesses = 1024;
constexpr std::size_t kMostThreads = 4096;

// "MemTotal:   123 kB" of the host's file, in bytes.
std::uint64_t host_bytes(std::string_view meminfo, std::string_view name) {
  for (const std::string_view line : split(meminfo, '\n')) {
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ':') continue;
    std::string_view value = trim(line.substr(name.size() + 1));
    value = value.substr(0, value.find(' '));
    return parse_u64(value).value_or(0) * 1024;
  }
  return 0;
}

void read_memory(const Subject& subject, const cgroups::Allowance& allowance,
                 const cgroups::Stats& stats, Facts& facts) {
  std::array<char, 8192> buffer{};
  const auto meminfo = fs::read_kernel_file(At::cwd(), subject.host.proc + "/meminfo", buffer);
  const std::string_view text = meminfo ? *meminfo : std::string_view();
  const std::uint64_t host_total = host_bytes(text, "MemTotal");
  const std::uint64_t host_free = host_bytes(text, "MemFree");
  facts.memory_total = std::min(allowance.memory.value_or(host_total), host_total);
  facts.memory_free = std::min(allowance.memory_free.value_or(host_free), facts.memory_total);
  const std::uint64_t host_swap = host_bytes(text, "SwapTotal");
  facts.swap_total = std::min(allowance.swap.value_or(host_swap), host_swap);
  if (!stats.memory) return;
  const cgroups::MemoryUse use = cgroups::memory_use(subject.location, *stats.memory);
  facts.memory = use.parts;
  facts.swap_used = std::min(use.swap, facts.swap_total);
  if (!allowance.memory)  // no limit: all that it does not use itself
    facts.memory_free =
        std::min(host_free, facts.memory_total - std::min(use.used, facts.memory_total));
}

std::vector<unsigned> online_cpus() {
  std::array<char, 4096> buffer{};
  const auto text = fs::read_kernel_file(At::cwd(), "/sys/devices/system/cpu/online", buffer);
  return text ? cgroups::parse_cpu_list(*text) : std::vector<unsigned>{0};
}

// The character behind the last ')' of a stat line.
char state_in(std::string_view stat) {
  const std::size_t end = stat.rfind(')');
  return end == std::string_view::npos || end + 2 >= stat.size() ? '?' : stat[end + 2];
}

}  // namespace

double boot_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double began_of(const Host& host, Pid pid) {
  std::array<char, 2048> buffer{};
  const auto stat = fs::read_kernel_file(
      At::cwd(), host.proc + "/" + std::to_string(pid.value) + "/stat", buffer);
  if (!stat) return 0;
  const std::size_t end = stat->rfind(')');
  if (end == std::string_view::npos) return 0;
  const std::vector<std::string_view> words = split(stat->substr(end + 2), ' ');
  constexpr std::size_t kStart = 19;  // field 22 of proc(5); the first word here is field 3
  if (words.size() <= kStart) return 0;
  const auto ticks = parse_u64(words[kStart]);
  return static_cast<double>(ticks.value_or(0)) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::vector<unsigned> shown_cpus(const std::vector<unsigned>& allowed,
                                 std::optional<std::uint64_t> cpu_milli) {
  std::vector<unsigned> shown = allowed.empty() ? std::vector<unsigned>{0} : allowed;
  if (!cpu_milli) return shown;
  const std::uint64_t most = std::max<std::uint64_t>(1, (*cpu_milli + 999) / 1000);
  if (shown.size() > most) shown.resize(most);
  return shown;
}

Tasks count_tasks(const Subject& subject) {
  Tasks tasks;
  const auto group = cgroups::open(subject.location, subject.host);
  if (!group) return tasks;
  const Result<std::vector<Pid>> pids = (*group)->processes();
  if (!pids) return tasks;
  tasks.processes = pids->size();
  std::array<char, 1024> buffer{};
  for (std::size_t i = 0; i < std::min(pids->size(), kMostProcesses); ++i) {
    const std::string path = subject.host.proc + "/" + std::to_string((*pids)[i].value) + "/task";
    const Result<Fd> dir = sys::open_dir(At::cwd(), path);
    if (!dir) continue;
    const Result<std::vector<std::string>> threads = sys::list_dir(dir->get());
    if (!threads) continue;
    for (const std::string& thread : *threads) {
      if (++tasks.threads > kMostThreads) return tasks;
      const auto stat = fs::read_kernel_file(*dir, thread + "/stat", buffer);
      const char state = stat ? state_in(*stat) : '?';
      if (state == 'R' || state == 'D') ++tasks.running;
    }
  }
  return tasks;
}

Facts read_facts(const Subject& subject) {
  Facts facts;
  const cgroups::Allowance allowance = cgroups::read_allowance(subject.location);
  cgroups::Stats stats;
  if (const auto group = cgroups::open(subject.location, subject.host)) {
    if (Result<cgroups::Stats> read = (*group)->stats()) stats = *std::move(read);
  }
  read_memory(subject, allowance, stats, facts);
  facts.cpus =
      shown_cpus(allowance.cpus.empty() ? online_cpus() : allowance.cpus, allowance.cpu_milli);
  if (stats.cpu) {
    facts.user_ns = stats.cpu->user_ns;
    facts.system_ns = stats.cpu->system_ns;
  }
  if (stats.io) {
    facts.io_bytes = std::move(stats.io->bytes);
    facts.io_operations = std::move(stats.io->operations);
  }
  facts.uptime = std::max(0.0, boot_clock() - subject.began);
  facts.booted = static_cast<std::uint64_t>(static_cast<double>(::time(nullptr)) - facts.uptime);
  return facts;
}

}  // namespace vrun::view
