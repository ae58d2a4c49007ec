#include "process/limits_child.hpp"

namespace vrun::process {
namespace {

struct Limit {  // struct rlimit64 (prlimit(2))
  uint64_t soft, hard;
};

struct SchedAttr {  // struct sched_attr, first published size (sched_setattr(2))
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};
static_assert(sizeof(SchedAttr) == 48);

constexpr long kWhoProcess = 1;  // IOPRIO_WHO_PROCESS (ioprio_set(2))

}  // namespace

long rlimits(steps::Context&, const steps::RlimitsArgs& args) {
  for (uint32_t i = 0; i < args.limits.count; ++i) {
    const steps::RlimitEntry& entry = args.limits.data[i];
    const Limit limit{entry.soft, entry.hard};
    const long result = raw::call(__NR_prlimit64, 0, entry.resource, raw::ptr(&limit), 0);
    if (result < 0) return result;
  }
  return 0;
}

long scheduler(steps::Context&, const steps::SchedulerArgs& args) {
  const SchedAttr attr{sizeof(SchedAttr), args.policy,  args.flags,    args.nice,
                       args.priority,     args.runtime, args.deadline, args.period};
  return raw::call(__NR_sched_setattr, 0, raw::ptr(&attr), 0);
}

long io_priority(steps::Context&, const steps::IoPriorityArgs& args) {
  return raw::call(__NR_ioprio_set, kWhoProcess, 0, args.value);
}

long affinity(steps::Context&, const steps::AffinityArgs& args) {
  const long bytes = static_cast<long>(args.mask.count * sizeof(uint64_t));
  const long result = raw::call(__NR_sched_setaffinity, 0, bytes, raw::ptr(args.mask.data));
  return result < 0 ? result : 0;
}

long memory_policy(steps::Context&, const steps::MemoryPolicyArgs& args) {
  // the kernel reads maxnode - 1 bits (set_mempolicy(2), BUGS)
  const long bits = args.nodes.count == 0 ? 0 : static_cast<long>(args.nodes.count) * 64 + 1;
  const void* nodes = args.nodes.count == 0 ? nullptr : args.nodes.data;
  return raw::call(__NR_set_mempolicy, args.mode, raw::ptr(nodes), bits);
}

long personality(steps::Context&, const steps::PersonalityArgs& args) {
  const long result = raw::call(__NR_personality, static_cast<long>(args.value));
  return result < 0 ? result : 0;
}

long umask(steps::Context&, const steps::UmaskArgs& args) {
  raw::call(__NR_umask, static_cast<long>(args.mask));
  return 0;
}

}  // namespace vrun::process
