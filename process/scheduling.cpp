#include "process/scheduling.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include <linux/sched.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/named_value.hpp"
#include "process/plan.hpp"

namespace vrun::process {
namespace {

// sched_setattr(2)
constexpr std::array<NamedValue, 6> kPolicies{{{"SCHED_OTHER", SCHED_NORMAL},
                                               {"SCHED_FIFO", SCHED_FIFO},
                                               {"SCHED_RR", SCHED_RR},
                                               {"SCHED_BATCH", SCHED_BATCH},
                                               {"SCHED_IDLE", SCHED_IDLE},
                                               {"SCHED_DEADLINE", SCHED_DEADLINE}}};

constexpr std::array<NamedValue, 7> kFlags{
    {{"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
     {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
     {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
     {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
     {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
     {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
     {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX}}};

// ioprio_set(2). Not by linux/ioprio.h, which is no C++ since Debian's 6.1.192.
constexpr std::int32_t kIoClassShift = 13, kIoLevels = 8;
constexpr std::array<NamedValue, 3> kClasses{
    {{"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}}};

// set_mempolicy(2); WEIGHTED_INTERLEAVE came with Linux 6.9 and is not in Debian 12's headers.
constexpr std::array<NamedValue, 7> kModes{{{"MPOL_DEFAULT", 0},
                                            {"MPOL_PREFERRED", 1},
                                            {"MPOL_BIND", 2},
                                            {"MPOL_INTERLEAVE", 3},
                                            {"MPOL_LOCAL", 4},
                                            {"MPOL_PREFERRED_MANY", 5},
                                            {"MPOL_WEIGHTED_INTERLEAVE", 6}}};
constexpr std::uint64_t kModeDefault = 0;
constexpr std::uint64_t kModePreferred = 1;
constexpr std::uint64_t kModeLocal = 4;

constexpr std::array<NamedValue, 3> kModeFlags{{{"MPOL_F_STATIC_NODES", 1U << 15U},
                                                {"MPOL_F_RELATIVE_NODES", 1U << 14U},
                                                {"MPOL_F_NUMA_BALANCING", 1U << 13U}}};
constexpr std::uint64_t kStaticNodes = 1U << 15U;
constexpr std::uint64_t kRelativeNodes = 1U << 14U;

constexpr std::array<NamedValue, 2> kDomains{{{"LINUX", PER_LINUX}, {"LINUX32", PER_LINUX32}}};

constexpr std::uint64_t kHighest = 8191;  // more than any kernel's CONFIG_NR_CPUS

std::string below(std::string_view where, std::string_view key) {
  return std::string(where) + "." + std::string(key);
}

std::string element(std::string_view where, std::size_t index) {
  return std::string(where) + "[" + std::to_string(index) + "]";
}

std::uint64_t collect_flags(const std::vector<std::string>& names,
                            std::span<const NamedValue> table, const std::string& where,
                            std::string_view what, Faults& faults) {
  std::uint64_t flags = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (const auto flag = find_value(table, names[i])) {
      flags |= *flag;
    } else {
      faults.add(element(where, i), unknown_name(table, names[i], what));
    }
  }
  return flags;
}

struct Range {
  std::uint64_t first, last;
};

std::optional<Range> parse_range(std::string_view part) {
  const std::size_t dash = part.find('-');
  const auto first = parse_u64(part.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_u64(part.substr(dash + 1));
  if (!first || !last || *first > *last || *last > kHighest) return std::nullopt;
  return Range{*first, *last};
}

bool is_realtime(std::uint32_t policy) {
  return policy == SCHED_FIFO || policy == SCHED_RR;
}

void check_deadline(const oci::Scheduler& scheduler, std::uint32_t policy, std::string_view where,
                    Faults& faults) {
  const bool given = scheduler.runtime != 0 || scheduler.deadline != 0 || scheduler.period != 0;
  if (policy != SCHED_DEADLINE) {
    if (given)
      faults.add(where, "runtime, deadline and period need the policy SCHED_DEADLINE, not " +
                            scheduler.policy);
    return;
  }
  // sched_setattr(2): runtime <= deadline <= period, runtime at least 1024 ns, all below 2^63
  const std::uint64_t period = scheduler.period != 0 ? scheduler.period : scheduler.deadline;
  if (scheduler.runtime < 1024)
    faults.add(below(where, "runtime"), "SCHED_DEADLINE needs at least 1024 ns");
  if (scheduler.runtime > scheduler.deadline || scheduler.deadline > period ||
      period > static_cast<std::uint64_t>(INT64_MAX))
    faults.add(where, "SCHED_DEADLINE needs runtime <= deadline <= period");
}

}  // namespace

std::optional<std::vector<std::uint64_t>> parse_list(std::string_view text) {
  std::vector<std::uint64_t> words;
  for (const std::string_view part : split(trim(text), ',')) {
    const auto range = parse_range(trim(part));
    if (!range) return std::nullopt;
    if (words.size() <= range->last / 64) words.resize(range->last / 64 + 1);
    for (std::uint64_t n = range->first; n <= range->last; ++n)
      words[n / 64] |= std::uint64_t{1} << (n % 64);
  }
  return words;
}

steps::SchedulerArgs check_scheduler(const oci::Scheduler& scheduler, std::string_view where,
                                     Faults& faults) {
  const auto policy = find_value(kPolicies, scheduler.policy);
  if (!policy) {
    faults.add(below(where, "policy"),
               unknown_name(kPolicies, scheduler.policy, "a scheduling policy"));
    return {};
  }
  steps::SchedulerArgs args{};
  args.policy = static_cast<std::uint32_t>(*policy);
  args.nice = scheduler.nice;
  args.priority = static_cast<std::uint32_t>(scheduler.priority);
  args.runtime = scheduler.runtime;
  args.deadline = scheduler.deadline;
  args.period = scheduler.period;
  args.flags =
      collect_flags(scheduler.flags, kFlags, below(where, "flags"), "a scheduler flag", faults);
  if (scheduler.nice < -20 || scheduler.nice > 19)
    faults.add(below(where, "nice"), std::to_string(scheduler.nice) + " is not in -20..19");
  if (scheduler.nice != 0 && args.policy != SCHED_NORMAL && args.policy != SCHED_BATCH)
    faults.add(below(where, "nice"), scheduler.policy + " has no nice value");
  if (is_realtime(args.policy) ? scheduler.priority < 1 || scheduler.priority > 99
                               : scheduler.priority != 0)
    faults.add(below(where, "priority"),
               is_realtime(args.policy) ? std::to_string(scheduler.priority) + " is not in 1..99"
                                        : scheduler.policy +
                                              " has no priority, only SCHED_FIFO "
                                              "and SCHED_RR have");
  check_deadline(scheduler, args.policy, where, faults);
  return args;
}

steps::IoPriorityArgs check_io_priority(const oci::IoPriority& priority, std::string_view where,
                                        Faults& faults) {
  const auto io_class = find_value(kClasses, priority.io_class);
  if (!io_class)
    faults.add(below(where, "class"),
               unknown_name(kClasses, priority.io_class, "an I/O priority class"));
  if (priority.priority < 0 || priority.priority >= kIoLevels)
    faults.add(below(where, "priority"), std::to_string(priority.priority) + " is not in 0..7");
  return {static_cast<std::int32_t>((io_class.value_or(0) << kIoClassShift) |
                                    (static_cast<std::uint32_t>(priority.priority) & 7U))};
}

std::vector<std::uint64_t> check_cpus(const std::string& list, std::string_view where,
                                      Faults& faults) {
  auto words = parse_list(list);
  if (words) return *std::move(words);
  faults.add(where, quote(list) + " is not a list of processors like '0-3,8'");
  return {};
}

MemoryPolicyWords check_memory_policy(const oci::MemoryPolicy& policy, Faults& faults) {
  const std::string where = "linux.memoryPolicy";
  const auto mode = find_value(kModes, policy.mode);
  if (!mode) {
    faults.add(where + ".mode", unknown_name(kModes, policy.mode, "a memory policy"));
    return {};
  }
  MemoryPolicyWords words;
  const std::uint64_t flags =
      collect_flags(policy.flags, kModeFlags, where + ".flags", "a memory policy flag", faults);
  words.mode = static_cast<std::int32_t>(*mode | flags);
  if (!policy.nodes.empty()) {
    if (auto nodes = parse_list(policy.nodes)) {
      words.nodes = *std::move(nodes);
    } else {
      faults.add(where + ".nodes", quote(policy.nodes) + " is not a list of nodes like '0-3,7'");
    }
  }
  // set_mempolicy(2): default and local take no nodes, preferred may, the others must have some
  const bool takes_none = *mode == kModeDefault || *mode == kModeLocal;
  if (takes_none && !policy.nodes.empty())
    faults.add(where + ".nodes", policy.mode + " takes no nodes");
  if (takes_none && flags != 0) faults.add(where + ".flags", policy.mode + " takes no flags");
  if (!takes_none && *mode != kModePreferred && policy.nodes.empty())
    faults.add(where + ".nodes", policy.mode + " needs nodes");
  if ((flags & kStaticNodes) != 0 && (flags & kRelativeNodes) != 0)
    faults.add(where + ".flags",
               "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other");
  return words;
}

steps::PersonalityArgs check_personality(const oci::Personality& personality, Faults& faults) {
  const auto domain = find_value(kDomains, personality.domain);
  if (!domain)
    faults.add("linux.personality.domain",
               unknown_name(kDomains, personality.domain, "an execution domain"));
  // the specification names the key but no flag yet
  for (std::size_t i = 0; i < personality.flags.size(); ++i)
    faults.add(element("linux.personality.flags", i),
               quote(personality.flags[i]) + " is not a flag: runtime-spec 1.3 defines none");
  return {domain.value_or(0)};
}

Result<void> set_initial_affinity(const oci::Process& process, std::string_view where) {
  if (!process.exec_cpu_affinity || process.exec_cpu_affinity->initial.empty()) return {};
  const std::string path = std::string(where) + ".execCPUAffinity.initial";
  Faults faults;
  const std::vector<std::uint64_t> mask =
      check_cpus(process.exec_cpu_affinity->initial, path, faults);
  TRY(faults.result());
  if (::syscall(SYS_sched_setaffinity, 0, mask.size() * sizeof(mask[0]), mask.data()) < 0)
    return Error::system(errno, "run on processors " + quote(process.exec_cpu_affinity->initial))
        .at(path)
        .hint("name processors that are online and in the cpuset of the caller");
  return {};
}

std::vector<std::string> scheduler_policies() {
  return names_of(kPolicies);
}
std::vector<std::string> scheduler_flags() {
  return names_of(kFlags);
}
std::vector<std::string> io_priority_classes() {
  return names_of(kClasses);
}
std::vector<std::string> memory_policy_modes() {
  return names_of(kModes);
}
std::vector<std::string> memory_policy_flags() {
  return names_of(kModeFlags);
}

}  // namespace vrun::process
