#include "tenants/budget.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "base/text.hpp"
#include "cgroups/convert.hpp"

namespace vrun::tenants {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kMostBytes = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t kCpuPeriod = 100'000;  // us, the kernel's default (cgroup-v2, cpu.max)
constexpr std::uint64_t kUsualWeight = 100;

enum class Unit : std::uint8_t { kCpus, kBytes, kRate, kBits, kCount };

struct Row {
  std::string_view flag;
  Unit unit;
  std::uint64_t Budget::*member;  // nullptr: swap
  std::uint64_t least, most;
};

constexpr std::array kRows{
    Row{"cpus", Unit::kCpus, &Budget::cpu_milli, 10, 1'000'000'000},
    Row{"cpu-weight", Unit::kCount, &Budget::cpu_weight, 1, 10'000},
    Row{"memory", Unit::kBytes, &Budget::memory, 4 * kMiB, kMostBytes},
    Row{"swap", Unit::kBytes, nullptr, 0, kMostBytes},
    Row{"pids", Unit::kCount, &Budget::pids, 1, 4'194'304},  // PID_MAX_LIMIT
    Row{"io-read", Unit::kRate, &Budget::io_read, 4096, kMostBytes},
    Row{"io-write", Unit::kRate, &Budget::io_write, 4096, kMostBytes},
    Row{"disk", Unit::kBytes, &Budget::disk, 16 * kMiB, kMostBytes},
    Row{"bandwidth", Unit::kBits, &Budget::bandwidth, 8000, kMostBytes},
    Row{"max-guests", Unit::kCount, &Budget::max_guests, 1, 1'000'000},
    Row{"max-vcpus", Unit::kCount, &Budget::max_vcpus, 1, 1'000'000},
};

constexpr std::string_view kCpuset = "cpuset-cpus";

// "0-3,8": the kernel's own form (cpuset(7), List format), each range forwards.
bool is_cpu_list(std::string_view text) {
  constexpr std::uint64_t kMost = 8191;  // CONFIG_NR_CPUS is never larger
  for (const std::string_view part : split(text, ',')) {
    const std::size_t dash = part.find('-');
    const auto first = parse_u64(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_u64(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last > kMost) return false;
  }
  return !text.empty();
}

void read_cpuset(const std::string& text, Budget& budget, json::Faults& faults) {
  if (text != "none" && !is_cpu_list(text)) {
    faults.add("--cpuset-cpus",
               quote(text) + " is not a list of processors such as 0-3,8, or none");
    return;
  }
  budget.cpuset_cpus = text == "none" ? "" : text;
}

// "2", "0.5", "1.25": thousandths, exactly.
std::optional<std::uint64_t> parse_milli(std::string_view text) {
  const std::size_t point = std::min(text.find('.'), text.size());
  const auto whole = parse_u64(text.substr(0, point));
  if (!whole || *whole > 1'000'000) return std::nullopt;
  std::string part(point < text.size() ? text.substr(point + 1) : "0");
  if (part.empty() || part.size() > 3) return std::nullopt;
  part.resize(3, '0');
  const auto thousandths = parse_u64(part);
  if (!thousandths) return std::nullopt;
  return *whole * 1000 + *thousandths;
}

// Bits a second count in thousands, as everywhere in networks.
std::optional<std::uint64_t> parse_bits(std::string_view text) {
  struct Suffix {
    char letter;
    std::uint64_t factor;
  };
  constexpr std::array<Suffix, 3> kSuffixes{{{'k', 1000}, {'m', 1'000'000}, {'g', 1'000'000'000}}};
  std::uint64_t factor = 1;
  if (!text.empty()) {
    for (const Suffix& one : kSuffixes) {
      if ((text.back() | 0x20) == one.letter) factor = one.factor;
    }
  }
  if (factor != 1) text.remove_suffix(1);
  const auto number = parse_u64(text);
  if (!number || *number > kMostBytes / factor) return std::nullopt;
  return *number * factor;
}

std::optional<std::uint64_t> parse(Unit unit, std::string_view text) {
  switch (unit) {
    case Unit::kCpus:
      return parse_milli(text);
    case Unit::kBytes:
    case Unit::kRate:
      return parse_bytes(text);
    case Unit::kBits:
      return parse_bits(text);
    case Unit::kCount:
      return parse_u64(text);
  }
  return std::nullopt;
}

std::string_view wanted(Unit unit) {
  switch (unit) {
    case Unit::kCpus:
      return "a number of CPUs such as 2 or 0.5";
    case Unit::kBytes:
      return "a size such as 512M or 2G";
    case Unit::kRate:
      return "bytes a second such as 50M";
    case Unit::kBits:
      return "bits a second such as 100M";
    case Unit::kCount:
      return "a whole number above zero";
  }
  return "";
}

std::string decimal(std::uint64_t value, std::uint64_t unit) {
  const std::uint64_t tenths = value % unit * 10 / unit;
  return std::to_string(value / unit) + (tenths == 0 ? "" : "." + std::to_string(tenths));
}

std::string size_words(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t at = 0;
  std::uint64_t unit = 1;
  while (at + 1 < kNames.size() && bytes / unit >= 1024) {
    unit *= 1024;
    ++at;
  }
  return decimal(bytes, unit) + std::string(kNames[at]);
}

std::string bit_words(std::uint64_t bits) {
  if (bits >= 1'000'000'000) return decimal(bits, 1'000'000'000) + "Gbit/s";
  if (bits >= 1'000'000) return decimal(bits, 1'000'000) + "Mbit/s";
  return decimal(bits, 1000) + "kbit/s";
}

std::string cpu_words(std::uint64_t milli) {
  std::string part = std::to_string(milli % 1000 + 1000).substr(1);
  while (!part.empty() && part.back() == '0')
    part.pop_back();
  return std::to_string(milli / 1000) + (part.empty() ? "" : "." + part);
}

std::string value_words(Unit unit, std::uint64_t value) {
  switch (unit) {
    case Unit::kCpus:
      return cpu_words(value);
    case Unit::kBytes:
      return size_words(value);
    case Unit::kRate:
      return size_words(value) + "/s";
    case Unit::kBits:
      return bit_words(value);
    case Unit::kCount:
      break;
  }
  return std::to_string(value);
}

void set(const Row& row, Budget& budget, std::optional<std::uint64_t> value) {
  if (row.member == nullptr) {
    budget.swap = value;
  } else {
    budget.*row.member = value.value_or(0);
  }
}

std::string range_words(const Row& row) {
  const std::string least = "at least " + value_words(row.unit, row.least);
  if (row.most == kMostBytes) return least;
  return least + " and at most " + value_words(row.unit, row.most);
}

void read_one(const Row& row, const std::string& text, Budget& budget, json::Faults& faults) {
  if (text == "none") return set(row, budget, std::nullopt);
  const std::string path = "--" + std::string(row.flag);
  const auto value = parse(row.unit, text);
  if (!value) {
    faults.add(path, quote(text) + " is not " + std::string(wanted(row.unit)) + ", or none");
  } else if (*value < row.least || *value > row.most) {
    faults.add(path, quote(text) + " is out of range: " + range_words(row));
  } else {
    set(row, budget, value);
  }
}

std::int64_t limit(std::uint64_t value) {
  return value == 0 ? -1 : static_cast<std::int64_t>(value);
}

oci::Memory memory_of(const Budget& budget) {
  oci::Memory memory;
  memory.limit = limit(budget.memory);
  memory.swap = -1;
  const bool both = budget.memory != 0 && budget.swap && *budget.swap <= kMostBytes - budget.memory;
  if (both) memory.swap = static_cast<std::int64_t>(budget.memory + *budget.swap);
  return memory;
}

// The kernel wants at least 1 ms in a period: a hundredth of a CPU is the least that can be asked.
oci::Cpu cpu_of(const Budget& budget, const Budget& before) {
  oci::Cpu cpu;
  if (budget.cpu_milli != 0 || before.cpu_milli != 0) {
    cpu.period = kCpuPeriod;
    cpu.quota = budget.cpu_milli == 0
                    ? -1
                    : static_cast<std::int64_t>(budget.cpu_milli * (kCpuPeriod / 1000));
  }
  if (budget.cpu_weight != 0 || before.cpu_weight != 0) {
    const std::uint64_t weight = budget.cpu_weight == 0 ? kUsualWeight : budget.cpu_weight;
    cpu.shares = cgroups::shares_from_weight(weight);
  }
  cpu.cpus = budget.cpuset_cpus;
  return cpu;
}

}  // namespace

std::vector<std::string_view> budget_flags() {
  std::vector<std::string_view> flags;
  for (const Row& row : kRows)
    flags.push_back(row.flag);
  flags.push_back(kCpuset);
  return flags;
}

void read_budget(std::span<const FlagText> given, Budget& budget, json::Faults& faults) {
  for (const FlagText& one : given) {
    if (one.flag == kCpuset) read_cpuset(one.text, budget, faults);
    for (const Row& row : kRows) {
      if (row.flag == one.flag) read_one(row, one.text, budget, faults);
    }
  }
  // What counts both together (memory.memsw.*) cannot say it of swap alone.
  if (budget.swap && budget.memory == 0) faults.add("--swap", "needs a limit of --memory");
}

std::vector<BudgetLine> words_of(const Budget& budget) {
  std::vector<BudgetLine> lines;
  for (const Row& row : kRows) {
    std::string value = "none";
    if (row.member == nullptr) {
      if (budget.swap) value = value_words(row.unit, *budget.swap);
    } else if (budget.*row.member != 0) {
      value = value_words(row.unit, budget.*row.member);
    }
    lines.push_back({std::string(row.flag), std::move(value)});
  }
  const std::string& cpuset = budget.cpuset_cpus;
  lines.push_back({std::string(kCpuset), cpuset.empty() ? "none" : cpuset});
  return lines;
}

oci::Resources to_resources(const Budget& budget, const Budget& before, std::optional<Disk> disk) {
  oci::Resources resources;
  if (budget.memory != 0 || before.memory != 0) resources.memory = memory_of(budget);
  const oci::Cpu cpu = cpu_of(budget, before);
  if (cpu.quota || cpu.shares || !cpu.cpus.empty()) resources.cpu = cpu;
  if (budget.pids != 0 || before.pids != 0) resources.pids_limit = limit(budget.pids);
  if (!disk) return resources;
  oci::BlockIo io;
  if (budget.io_read != 0 || before.io_read != 0) {
    io.throttle_read_bps.push_back({disk->major, disk->minor, budget.io_read});
  }
  if (budget.io_write != 0 || before.io_write != 0) {
    io.throttle_write_bps.push_back({disk->major, disk->minor, budget.io_write});
  }
  if (!io.throttle_read_bps.empty() || !io.throttle_write_bps.empty()) resources.block_io = io;
  return resources;
}

}  // namespace vrun::tenants
