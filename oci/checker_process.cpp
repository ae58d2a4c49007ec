// Checks of the process: what runc and the kernel would refuse later and with fewer words.

#include <set>

#include "base/text.hpp"
#include "oci/checker.hpp"

namespace vrun::oci {
namespace {

void check_rlimits(const std::vector<Rlimit>& rlimits, const std::string& at,
                   json::Faults& faults) {
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < rlimits.size(); ++i) {
    const Rlimit& limit = rlimits[i];
    if (!seen.insert(limit.type).second) {
      faults.add(element(at, i) + ".type", limit.type + " is there twice");
    }
    if (limit.soft > limit.hard) {
      faults.add(
          element(at, i) + ".soft",
          std::to_string(limit.soft) + " is above the hard limit " + std::to_string(limit.hard));
    }
  }
}

void check_affinity(const std::string& list, const std::string& at, json::Faults& faults) {
  if (list.empty() || is_number_list(list)) return;
  faults.add(at, quote(list) + " is not a list of processors like 0-3,8");
}

// sched_setattr(2): runtime <= deadline <= period, a period of 0 means the deadline.
void check_deadline(const Scheduler& scheduler, const std::string& at, json::Faults& faults) {
  const std::uint64_t period = scheduler.period == 0 ? scheduler.deadline : scheduler.period;
  if (scheduler.runtime == 0) faults.add(at + ".runtime", "must be above 0 for SCHED_DEADLINE");
  if (scheduler.runtime > scheduler.deadline) faults.add(at + ".runtime", "is above the deadline");
  if (scheduler.deadline > period) faults.add(at + ".deadline", "is above the period");
}

}  // namespace

void check_scheduler(const Scheduler& scheduler, const std::string& at, json::Faults& faults) {
  const std::string& policy = scheduler.policy;
  const bool fixed_priority = policy == "SCHED_FIFO" || policy == "SCHED_RR";
  const bool has_nice =
      policy == "SCHED_OTHER" || policy == "SCHED_BATCH" || policy == "SCHED_IDLE";
  if (policy == "SCHED_ISO") {
    faults.add(at + ".policy", "SCHED_ISO is reserved, no Linux kernel implements it");
    return;
  }
  if (scheduler.priority != 0 && !fixed_priority) {
    faults.add(at + ".priority", "is for SCHED_FIFO and SCHED_RR only");
  }
  if (scheduler.priority == 0 && fixed_priority) {
    faults.add(at + ".priority", "must be 1 to 99 for " + policy);
  }
  if (scheduler.nice != 0 && !has_nice) {
    faults.add(at + ".nice", "is for SCHED_OTHER, SCHED_BATCH and SCHED_IDLE only");
  }
  if (policy == "SCHED_DEADLINE") return check_deadline(scheduler, at, faults);
  if (scheduler.runtime != 0) faults.add(at + ".runtime", "is for SCHED_DEADLINE only");
  if (scheduler.deadline != 0) faults.add(at + ".deadline", "is for SCHED_DEADLINE only");
  if (scheduler.period != 0) faults.add(at + ".period", "is for SCHED_DEADLINE only");
}

void check_process(const Process& process, const std::string& at, json::Faults& faults) {
  if (process.args.empty()) faults.add(at + "args", "is empty: there is nothing to execute");
  check_absolute(process.cwd, at + "cwd", faults);
  check_rlimits(process.rlimits, at + "rlimits", faults);
  if (process.scheduler) check_scheduler(*process.scheduler, at + "scheduler", faults);
  if (process.exec_cpu_affinity) {
    check_affinity(process.exec_cpu_affinity->initial, at + "execCPUAffinity.initial", faults);
    check_affinity(process.exec_cpu_affinity->final, at + "execCPUAffinity.final", faults);
  }
}

}  // namespace vrun::oci
