#include "cli/stats_sample.hpp"

#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::cli {
namespace {

std::optional<double> stall_of(const std::optional<cgroups::PressureStall>& pressure) {
  if (!pressure) return std::nullopt;
  return pressure->some.avg10;
}

std::optional<Traffic> block_traffic(const cgroups::Stats& stats) {
  if (!stats.io) return std::nullopt;
  Traffic traffic;
  for (const cgroups::BlkioEntry& entry : stats.io->bytes) {
    if (entry.op == "Read") traffic.in += entry.value;
    if (entry.op == "Write") traffic.out += entry.value;
  }
  return traffic;
}

std::optional<double> cpu_percent(const Sample* before, const Sample& now) {
  if (before == nullptr || !before->stats || !before->stats->cpu || !now.stats->cpu) {
    return std::nullopt;
  }
  const std::int64_t time = now.at_ns - before->at_ns;
  const std::uint64_t used = now.stats->cpu->usage_ns;
  const std::uint64_t was = before->stats->cpu->usage_ns;
  if (time <= 0 || used < was) return std::nullopt;  // it was started anew in between
  return 100.0 * static_cast<double>(used - was) / static_cast<double>(time);
}

}  // namespace

Usage usage_between(const Sample* before, const Sample& now, std::uint64_t host_memory) {
  Usage usage;
  usage.id = now.id;
  usage.name = now.name;
  if (!now.stats) return usage;
  const cgroups::Stats& stats = *now.stats;
  usage.runs = true;
  usage.cpu_percent = cpu_percent(before, now);
  if (stats.cpu) {
    usage.cpu_ns = stats.cpu->usage_ns;
    usage.cpu_stall = stall_of(stats.cpu->pressure);
  }
  if (stats.memory) {
    usage.memory = stats.memory->usage;
    const std::uint64_t limit = stats.memory->limit;
    usage.memory_limit = limit == 0 || limit > host_memory ? host_memory : limit;
    usage.memory_stall = stall_of(stats.memory->pressure);
  }
  if (stats.pids) {
    usage.pids = stats.pids->current;
    usage.pids_limit = stats.pids->limit;
  }
  if (stats.io) usage.io_stall = stall_of(stats.io->pressure);
  usage.block = block_traffic(stats);
  usage.network = now.network;
  return usage;
}

std::optional<Traffic> parse_net_dev(std::string_view text) {
  std::optional<Traffic> sum;
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || trim(line.substr(0, colon)) == "lo") continue;
    // 8 numbers received, then 8 sent (proc_pid_net(5)).
    std::uint64_t in = 0;
    std::uint64_t out = 0;
    std::size_t column = 0;
    for (const std::string_view word : split(line.substr(colon + 1), ' ')) {
      if (word.empty()) continue;
      if (column == 0) in = parse_u64(word).value_or(0);
      if (column == 8) out = parse_u64(word).value_or(0);
      ++column;
    }
    if (column < 9) continue;
    if (!sum) sum.emplace();
    sum->in += in;
    sum->out += out;
  }
  return sum;
}

std::string renewed(std::string_view text, bool first) {
  // Home; each line clears its rest, the end what is below: nothing flickers.
  std::string out = first ? "\x1b[2J\x1b[H" : "\x1b[H";
  for (const char c : text) {
    if (c == '\n') out += "\x1b[K";
    out += c;
  }
  return out + "\x1b[J";
}

Result<void> LiveView::show(const std::string& text) {
  TRY(sys::write_all(STDOUT_FILENO, live_ ? renewed(text, first_) : text));
  first_ = false;
  return {};
}

}  // namespace vrun::cli
