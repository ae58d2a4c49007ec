#include "engine/limits.hpp"

#include <charconv>
#include <cmath>
#include <limits>

#include "base/text.hpp"

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

}  // namespace

Result<oci::Resources> to_resources(const RunRequest& request) {
  oci::Resources resources;
  if (!request.memory.empty()) resources.memory = TRY(to_memory(request.memory));
  if (!request.cpus.empty()) resources.cpu = TRY(to_cpu(request.cpus));
  if (!request.pids_limit.empty()) resources.pids_limit = TRY(to_pids(request.pids_limit));
  return resources;
}

}  // namespace vrun::engine
