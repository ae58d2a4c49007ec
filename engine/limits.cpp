#include "engine/limits.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <tuple>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"

namespace vrun::engine {
namespace {

// A guest below this is killed before it can say why.
constexpr std::uint64_t kLeastMemory = 1U << 20U;
constexpr std::uint64_t kCpuPeriod = 100'000;  // us, the kernel's default (cgroup-v2, cpu.max)
constexpr double kLeastCpus = 0.01;            // cpu.max wants at least 1 ms a period
constexpr double kMostCpus = 1'000'000;

Result<oci::Memory> to_memory(const std::string& text) {
  const auto bytes = parse_bytes(text);
  if (!bytes) {
    return Error(Code::kInvalid, "--memory " + quote(text) + ": not a size")
        .hint("a number with b, k, m, g or t, such as 512m or 1.5g");
  }
  if (*bytes < kLeastMemory || *bytes > std::numeric_limits<std::int64_t>::max()) {
    return Error(Code::kInvalid, "--memory " + quote(text) + ": out of range")
        .hint("at least 1m; a number without a letter counts bytes");
  }
  oci::Memory memory;
  memory.limit = static_cast<std::int64_t>(*bytes);
  memory.swap = memory.limit;  // memory and swap together: a limit that swapping cannot dodge
  return memory;
}

Result<oci::Cpu> to_cpu(const std::string& text) {
  double cpus = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, cpus, std::chars_format::fixed);
  if (error != std::errc() || stop != end || !std::isfinite(cpus)) {
    return Error(Code::kInvalid, "--cpus " + quote(text) + ": not a number")
        .hint("how many CPUs' time the guest may use, such as 2 or 0.5");
  }
  if (cpus < kLeastCpus || cpus > kMostCpus) {
    return Error(Code::kInvalid, "--cpus " + quote(text) + ": out of range")
        .hint("at least 0.01, such as 0.5 for half of one CPU's time");
  }
  oci::Cpu cpu;
  cpu.period = kCpuPeriod;
  cpu.quota = std::llround(cpus * static_cast<double>(kCpuPeriod));
  return cpu;
}

Result<std::int64_t> to_pids(const std::string& text) {
  constexpr std::int64_t kMost = 4'194'304;  // PID_MAX_LIMIT
  const auto count = parse_i64(text);
  if (!count || *count < 1 || *count > kMost) {
    return Error(Code::kInvalid, "--pids-limit " + quote(text) + ": not a number of processes")
        .hint("a whole number from 1 to 4194304; leave the flag out for no limit");
  }
  return *count;
}

Error bad(const std::string& flag, const std::string& text, const char* why) {
  return Error(Code::kInvalid, flag + " " + quote(text) + ": " + why);
}

Result<std::int64_t> to_size(const std::string& flag, const std::string& text) {
  const auto bytes = parse_bytes(text);
  if (bytes && *bytes <= std::numeric_limits<std::int64_t>::max()) {
    return static_cast<std::int64_t>(*bytes);
  }
  return bad(flag, text, "not a size").hint("a number with b, k, m, g or t, such as 512m");
}

Result<void> add_memory(const RunRequest& request, oci::Resources& resources) {
  if (!request.memory_swap.empty()) {
    if (request.memory.empty()) {
      return Error(Code::kInvalid, "--memory-swap without --memory: it is the sum of both");
    }
    const std::int64_t swap =
        request.memory_swap == "-1" ? -1 : TRY(to_size("--memory-swap", request.memory_swap));
    if (swap >= 0 && swap < *resources.memory->limit) {
      return bad("--memory-swap", request.memory_swap, "below --memory")
          .hint("it is the sum of memory and swap; -1: no limit");
    }
    resources.memory->swap = swap;
  }
  if (request.memory_reservation.empty()) return {};
  const std::int64_t kept = TRY(to_size("--memory-reservation", request.memory_reservation));
  if (!resources.memory) resources.memory.emplace();
  if (resources.memory->limit && kept > *resources.memory->limit) {
    return bad("--memory-reservation", request.memory_reservation, "above --memory");
  }
  resources.memory->reservation = kept;
  return {};
}

Result<std::uint64_t> in_range(const std::string& flag, const std::string& text,
                               std::uint64_t least, std::uint64_t most) {
  const auto number = parse_u64(text);
  if (number && *number >= least && *number <= most) return *number;
  return Error(Code::kInvalid, flag + " " + quote(text) + ": not a number from " +
                                   std::to_string(least) + " to " + std::to_string(most));
}

// The runtime specification has v1's shares; this is the inverse of what runtimes make of them:
// weight = 1 + (shares - 2) * 9999 / 262142, rounded so that the weight comes out again.
std::uint64_t shares_of_weight(std::uint64_t weight) {
  return 2 + ((weight - 1) * 262142 + 9998) / 9999;
}

Result<void> add_cpu(const RunRequest& request, oci::Resources& resources) {
  const auto cpu = [&]() -> oci::Cpu& {
    return resources.cpu ? *resources.cpu : resources.cpu.emplace();
  };
  if (!request.cpu_quota.empty() || !request.cpu_period.empty()) {
    if (!request.cpus.empty()) {
      return Error(Code::kInvalid, "--cpus and --cpu-quota, --cpu-period say the same: give one");
    }
    // The kernel's own bounds (cpu.max): periods of 1 ms to 1 s, a quota of 1 ms at least.
    cpu().period = kCpuPeriod;
    if (!request.cpu_period.empty()) {
      cpu().period = TRY(in_range("--cpu-period", request.cpu_period, 1000, 1'000'000));
    }
    if (!request.cpu_quota.empty() && request.cpu_quota != "-1") {
      constexpr std::uint64_t kMost = 1'000'000'000'000;
      cpu().quota =
          static_cast<std::int64_t>(TRY(in_range("--cpu-quota", request.cpu_quota, 1000, kMost)));
    }
  }
  if (!request.cpu_weight.empty()) {
    cpu().shares = shares_of_weight(TRY(in_range("--cpu-weight", request.cpu_weight, 1, 10000)));
  }
  if (!request.cpu_shares.empty()) {
    if (!request.cpu_weight.empty()) {
      return Error(Code::kInvalid, "--cpu-weight and --cpu-shares say the same: give one");
    }
    cpu().shares = TRY(in_range("--cpu-shares", request.cpu_shares, 2, 262144));
  }
  for (const auto& [flag, text, list] :
       {std::tuple("--cpuset-cpus", &request.cpuset_cpus, &oci::Cpu::cpus),
        std::tuple("--cpuset-mems", &request.cpuset_mems, &oci::Cpu::mems)}) {
    if (text->empty()) continue;
    if (text->find_first_not_of("0123456789,-") != std::string::npos) {
      return bad(flag, *text, "not a list").hint("such as 0-3,8");
    }
    cpu().*list = *text;
  }
  return {};
}

// "/dev/sda:1m"
Result<oci::ThrottleDevice> to_throttle(const std::string& flag, const std::string& text,
                                        bool bytes) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) {
    return bad(flag, text, "not DEVICE:RATE").hint("such as /dev/sda:1m");
  }
  const std::string path = text.substr(0, colon);
  // In the same words: an admin of a tenant does not learn what there is on the host.
  const Result<struct stat> device = sys::stat(At::cwd(), path);
  if (!device || !S_ISBLK(device->st_mode)) return bad(flag, path, "not a block device");
  const std::string rate = text.substr(colon + 1);
  const auto number = bytes ? parse_bytes(rate) : parse_u64(rate);
  if (!number || *number == 0) return bad(flag, text, "not a rate");
  return oci::ThrottleDevice{static_cast<std::int64_t>(major(device->st_rdev)),
                             static_cast<std::int64_t>(minor(device->st_rdev)), *number};
}

Result<void> add_block_io(const RunRequest& request, oci::Resources& resources) {
  struct Row {
    const char* flag;
    const std::vector<std::string>* texts;
    std::vector<oci::ThrottleDevice> oci::BlockIo::*list;
    bool bytes;
  };
  const Row rows[] = {
      {"--device-read-bps", &request.device_read_bps, &oci::BlockIo::throttle_read_bps, true},
      {"--device-write-bps", &request.device_write_bps, &oci::BlockIo::throttle_write_bps, true},
      {"--device-read-iops", &request.device_read_iops, &oci::BlockIo::throttle_read_iops, false},
      {"--device-write-iops", &request.device_write_iops, &oci::BlockIo::throttle_write_iops,
       false}};
  const auto block_io = [&]() -> oci::BlockIo& {
    return resources.block_io ? *resources.block_io : resources.block_io.emplace();
  };
  // Of a guest on disks the VMM keeps to them (disk.hpp).
  for (const Row& row : rows) {
    if (is_disk_guest(request)) break;
    for (const std::string& text : *row.texts)
      (block_io().*row.list).push_back(TRY(to_throttle(row.flag, text, row.bytes)));
  }
  if (request.blkio_weight.empty()) return {};
  block_io().weight =
      static_cast<std::uint16_t>(TRY(in_range("--blkio-weight", request.blkio_weight, 10, 1000)));
  return {};
}

// "0-2,5": 0, 1, 2, 5. Empty where it is no such list.
std::optional<std::set<std::uint64_t>> parse_cpus(std::string_view text) {
  constexpr std::uint64_t kMost = 8192;  // CONFIG_NR_CPUS is never larger
  std::set<std::uint64_t> cpus;
  for (const std::string_view part : split(trim(text), ',')) {
    const std::size_t dash = part.find('-');
    const auto first = parse_u64(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_u64(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last > kMost) return std::nullopt;
    for (std::uint64_t cpu = *first; cpu <= *last; ++cpu)
      cpus.insert(cpu);
  }
  return cpus;
}

}  // namespace

Result<void> check_cpus(const RunRequest& request, std::string_view online) {
  const auto there = parse_cpus(online);
  if (!there) return {};  // no sysfs: the kernel will say it
  const std::string has = "this host has " + std::to_string(there->size()) + " CPUs (" +
                          std::string(trim(online)) + ")";
  if (!request.cpuset_cpus.empty()) {
    const auto asked = parse_cpus(request.cpuset_cpus);
    if (!asked) {
      return bad("--cpuset-cpus", request.cpuset_cpus, "not a list").hint("such as 0-3,8");
    }
    if (!std::includes(there->begin(), there->end(), asked->begin(), asked->end())) {
      return bad("--cpuset-cpus", request.cpuset_cpus, "there are not so many CPUs").hint(has);
    }
  }
  if (request.cpus.empty()) return {};
  const oci::Cpu cpu = TRY(to_cpu(request.cpus));
  if (*cpu.quota <= static_cast<std::int64_t>(there->size() * kCpuPeriod)) return {};
  return bad("--cpus", request.cpus, "more than there are").hint(has);
}

Result<void> check_host_cpus(const RunRequest& request) {
  constexpr std::size_t kMost = 65536;
  return check_cpus(request,
                    fs::read_file(At::cwd(), "/sys/devices/system/cpu/online", kMost).value_or(""));
}

Result<oci::Resources> to_resources(const RunRequest& request) {
  oci::Resources resources;
  if (!request.memory.empty()) resources.memory = TRY(to_memory(request.memory));
  if (!request.cpus.empty()) resources.cpu = TRY(to_cpu(request.cpus));
  TRY(add_memory(request, resources));
  TRY(add_cpu(request, resources));
  TRY(add_block_io(request, resources));
  if (!request.pids_limit.empty()) resources.pids_limit = TRY(to_pids(request.pids_limit));
  return resources;
}

}  // namespace vrun::engine
