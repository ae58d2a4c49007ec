#include "cgroups/unified_knobs.hpp"

#include <algorithm>
#include <array>

#include "base/log.hpp"
#include "base/text.hpp"
#include "cgroups/convert.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::string_view kMemory = "linux.resources.memory.";
constexpr std::string_view kCpu = "linux.resources.cpu.";
constexpr std::string_view kIo = "linux.resources.blockIO.";

std::string field(std::string_view prefix, std::string_view name) {
  return std::string(prefix) + std::string(name);
}

std::string device(std::int64_t major, std::int64_t minor) {
  return std::to_string(major) + ":" + std::to_string(minor);
}

class Planner {
 public:
  Planner(const oci::Resources& resources, const Reader& read)
      : resources_(resources), read_(read) {}

  Result<std::vector<Write>> run() {
    if (resources_.memory) TRY(memory(*resources_.memory));
    if (resources_.cpu) TRY(cpu(*resources_.cpu));
    pids();
    if (resources_.block_io) TRY(io(*resources_.block_io));
    hugetlb();
    if (resources_.network) TRY(network(*resources_.network));
    rdma();
    return std::move(writes_);
  }

 private:
  void add(std::string_view controller, std::string file, std::string value, std::string where,
           bool lifts = false) {
    writes_.push_back(
        {std::string(controller), std::move(file), std::move(value), std::move(where), lifts});
  }

  static Result<void> refuse_memory(const oci::Memory& memory) {
    if (memory.kernel.value_or(0) > 0) {
      log::warning("linux.resources.memory.kernel is deprecated and no longer enforced by kernels");
    }
    if (memory.kernel_tcp.value_or(0) > 0) {
      return unenforceable(field(kMemory, "kernelTCP"),
                           "cgroup v2 has no limit for TCP buffers alone");
    }
    if (memory.swappiness) {
      return unenforceable(field(kMemory, "swappiness"), "cgroup v2 has no swappiness of a group");
    }
    if (memory.disable_oom_killer.value_or(false)) {
      return unenforceable(field(kMemory, "disableOOMKiller"),
                           "cgroup v2 cannot switch the OOM killer off");
    }
    return {};
  }

  // memory.swap.max counts swap alone where the config counts memory plus swap.
  Result<void> swap(const oci::Memory& memory) {
    std::int64_t limit = memory.limit.value_or(0);
    std::int64_t both = memory.swap.value_or(0);
    // An unlimited memory with no word on swap: as v1 had it, swap is lifted too.
    if (limit < 0 && both == 0) both = -1;
    if (both == 0) return {};
    if (both > 0 && limit == 0) limit = TRY(present_limit());
    Result<std::string> value = swap_max(both, limit);
    if (!value) return std::move(value).error().at(field(kMemory, "swap"));
    // Since 6.1 the file is missing only where the kernel has no swap at all: then "0" holds too.
    bool lifts = *value == "max" || *value == "0";
    add("memory", "memory.swap.max", *value, field(kMemory, "swap"), lifts);
    return {};
  }

  Result<std::int64_t> present_limit() {
    std::string text = TRY(read_("memory", "memory.max"));
    return parse_i64(trim(text)).value_or(-1);
  }

  Result<void> check_usage(const oci::Memory& memory) {
    if (!memory.check_before_update.value_or(false) || memory.limit.value_or(0) <= 0) return {};
    std::string text = TRY(read_("memory", "memory.current"));
    std::int64_t usage = parse_i64(trim(text)).value_or(0);
    if (usage <= *memory.limit) return {};
    return Error(Code::kState, "the memory limit " + std::to_string(*memory.limit) +
                                   " is below the present usage " + std::to_string(usage))
        .at(field(kMemory, "checkBeforeUpdate"));
  }

  Result<void> memory(const oci::Memory& memory) {
    TRY(refuse_memory(memory));
    TRY(check_usage(memory));
    TRY(swap(memory));
    if (memory.limit.value_or(0) != 0) {
      add("memory", "memory.max", limit_text(*memory.limit), field(kMemory, "limit"),
          *memory.limit < 0);
    }
    if (memory.reservation.value_or(0) != 0) {
      add("memory", "memory.low", limit_text(*memory.reservation), field(kMemory, "reservation"),
          *memory.reservation < 0);
    }
    return {};
  }

  Result<void> cpu(const oci::Cpu& cpu) {
    if (cpu.realtime_runtime.value_or(0) != 0) {
      return unenforceable(field(kCpu, "realtimeRuntime"),
                           "cgroup v2 has no real-time budget of a group");
    }
    if (cpu.realtime_period.value_or(0) != 0) {
      return unenforceable(field(kCpu, "realtimePeriod"),
                           "cgroup v2 has no real-time budget of a group");
    }
    if (cpu.idle) {
      add("cpu", "cpu.idle", std::to_string(*cpu.idle), field(kCpu, "idle"), *cpu.idle == 0);
    }
    if (cpu.shares.value_or(0) != 0) {
      add("cpu", "cpu.weight", std::to_string(weight_from_shares(*cpu.shares)),
          field(kCpu, "shares"));
    }
    TRY(bandwidth(cpu));
    if (!cpu.cpus.empty()) add("cpuset", "cpuset.cpus", cpu.cpus, field(kCpu, "cpus"));
    if (!cpu.mems.empty()) add("cpuset", "cpuset.mems", cpu.mems, field(kCpu, "mems"));
    return {};
  }

  Result<void> bandwidth(const oci::Cpu& cpu) {
    // A smaller burst must be there before a smaller quota, a larger one after a larger quota: the
    // kernel refuses burst > quota with EINVAL, and the second try settles it.
    if (cpu.burst) {
      add("cpu", "cpu.max.burst", std::to_string(*cpu.burst), field(kCpu, "burst"),
          *cpu.burst == 0);
      writes_.back().retry_last = true;
    }
    std::int64_t quota = cpu.quota.value_or(0);
    std::uint64_t period = cpu.period.value_or(0);
    if (quota == 0 && period == 0) return {};
    std::string value = limit_text(quota);
    // cpu.max wants the quota first: with a period alone the present quota stays.
    if (quota == 0) value = std::string(TRY(present_quota()));
    if (period != 0) value += " " + std::to_string(period);
    add("cpu", "cpu.max", value, field(kCpu, quota != 0 ? "quota" : "period"), quota < 0);
    return {};
  }

  Result<std::string> present_quota() {
    std::string text = TRY(read_("cpu", "cpu.max"));
    return std::string(trim(text.substr(0, text.find(' '))));
  }

  void pids() {
    if (!resources_.pids_limit) return;
    std::int64_t limit = *resources_.pids_limit;
    add("pids", "pids.max", limit <= 0 ? "max" : std::to_string(limit),
        "linux.resources.pids.limit", limit <= 0);
  }

  Result<void> io(const oci::BlockIo& io) {
    if (io.leaf_weight.value_or(0) != 0) {
      return unenforceable(field(kIo, "leafWeight"), "cgroup v2 has no leaf weights");
    }
    TRY(weights(io));
    throttle(io.throttle_read_bps, "rbps", "throttleReadBpsDevice");
    throttle(io.throttle_write_bps, "wbps", "throttleWriteBpsDevice");
    throttle(io.throttle_read_iops, "riops", "throttleReadIOPSDevice");
    throttle(io.throttle_write_iops, "wiops", "throttleWriteIOPSDevice");
    return {};
  }

  // The BFQ scheduler has weights of its own in the config's range; io.weight (of io.cost) has
  // another range.
  Result<void> weights(const oci::BlockIo& io) {
    if (io.weight.value_or(0) == 0 && io.weight_devices.empty()) return {};
    bool bfq = read_("io", "io.bfq.weight").has_value();
    std::string file = bfq ? "io.bfq.weight" : "io.weight";
    auto text = [&](std::uint64_t weight) {
      return std::to_string(bfq ? weight : io_weight_from_blkio(weight));
    };
    if (io.weight.value_or(0) != 0) add("io", file, text(*io.weight), field(kIo, "weight"));
    for (std::size_t i = 0; i < io.weight_devices.size(); ++i) {
      const oci::WeightDevice& one = io.weight_devices[i];
      std::string where = field(kIo, "weightDevice[" + std::to_string(i) + "]");
      if (one.leaf_weight.value_or(0) != 0) {
        return unenforceable(where + ".leafWeight", "cgroup v2 has no leaf weights");
      }
      if (one.weight.value_or(0) == 0) continue;
      add("io", file, device(one.major, one.minor) + " " + text(*one.weight), where);
    }
    return {};
  }

  void throttle(const std::vector<oci::ThrottleDevice>& devices, std::string_view word,
                std::string_view name) {
    for (std::size_t i = 0; i < devices.size(); ++i) {
      const oci::ThrottleDevice& one = devices[i];
      // 0 lifts the limit, as it did in v1.
      std::string rate = one.rate == 0 ? "max" : std::to_string(one.rate);
      add("io", "io.max", device(one.major, one.minor) + " " + std::string(word) + "=" + rate,
          field(kIo, name) + "[" + std::to_string(i) + "]", one.rate == 0);
    }
  }

  void hugetlb() {
    for (std::size_t i = 0; i < resources_.hugepage_limits.size(); ++i) {
      const oci::HugepageLimit& one = resources_.hugepage_limits[i];
      std::string where = "linux.resources.hugepageLimits[" + std::to_string(i) + "]";
      std::string limit = std::to_string(one.limit);
      add("hugetlb", "hugetlb." + one.page_size + ".max", limit, where);
      // Reservations are what a process fails on instead of SIGBUS (kernel 5.7).
      add("hugetlb", "hugetlb." + one.page_size + ".rsvd.max", limit, where);
    }
  }

  static Result<void> network(const oci::NetworkResources& network) {
    if (network.class_id.value_or(0) != 0) {
      return unenforceable("linux.resources.network.classID", "cgroup v2 has no network classes");
    }
    if (!network.priorities.empty()) {
      return unenforceable("linux.resources.network.priorities",
                           "cgroup v2 has no network priorities");
    }
    return {};
  }

  void rdma() {
    for (std::size_t i = 0; i < resources_.rdma.size(); ++i) {
      const oci::Rdma& one = resources_.rdma[i];
      std::string value = one.device;
      if (one.hca_handles) value += " hca_handle=" + std::to_string(*one.hca_handles);
      if (one.hca_objects) value += " hca_object=" + std::to_string(*one.hca_objects);
      if (value.size() == one.device.size()) continue;
      add("rdma", "rdma.max", value, "linux.resources.rdma[" + quote(one.device) + "]");
    }
  }

  const oci::Resources& resources_;
  const Reader& read_;
  std::vector<Write> writes_;
};

// Files of a group that are no limits: writing them would move or end processes.
constexpr std::array<std::string_view, 5> kNoLimits = {
    "cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.type"};

Result<void> check_key(const std::string& key, const std::string& where) {
  if (key.find('/') != std::string::npos) {
    return Error(Code::kInvalid, "the key " + quote(key) + " must be a file name without slashes")
        .at(where);
  }
  std::size_t dot = key.find('.');
  if (dot == std::string::npos || dot == 0 || dot + 1 == key.size()) {
    return Error(Code::kInvalid, "the key " + quote(key) + " is not of the form CONTROLLER.FILE")
        .at(where);
  }
  if (std::find(kNoLimits.begin(), kNoLimits.end(), key) != kNoLimits.end()) {
    return Error(Code::kInvalid, "the key " + quote(key) + " is not a limit").at(where);
  }
  return {};
}

}  // namespace

Result<std::vector<Write>> unified_writes(const oci::Resources& resources, const Reader& read) {
  return Planner(resources, read).run();
}

Result<std::vector<Write>> unified_map_writes(const oci::Resources& resources) {
  std::vector<Write> writes;
  for (const auto& [key, value] : resources.unified) {
    std::string where = "linux.resources.unified[" + quote(key) + "]";
    TRY(check_key(key, where));
    // A file such as io.max takes one device in a write.
    for (std::string_view line : split(value, '\n')) {
      if (line.empty() && !value.empty()) continue;
      writes.push_back({key.substr(0, key.find('.')), key, std::string(line), where});
    }
  }
  return writes;
}

}  // namespace vrun::cgroups
