#include "cgroups/legacy_knobs.hpp"

#include <array>
#include <optional>

#include "base/log.hpp"
#include "base/text.hpp"

namespace vrun::cgroups {
namespace {

using oci::Resources;
using Text = std::optional<std::string>;

// 0 is "not set" as in runc; -1 lifts a limit and is what v1 files call unlimited, too.
template <typename T>
Text nonzero(const std::optional<T>& value) {
  if (!value || *value == 0) return std::nullopt;
  return std::to_string(*value);
}
template <typename T>
Text number(const std::optional<T>& value) {
  if (!value) return std::nullopt;
  return std::to_string(*value);
}

const oci::Memory& memory_of(const Resources& r) {
  static const oci::Memory kNone;
  return r.memory ? *r.memory : kNone;
}
const oci::Cpu& cpu_of(const Resources& r) {
  static const oci::Cpu kNone;
  return r.cpu ? *r.cpu : kNone;
}
const oci::BlockIo& io_of(const Resources& r) {
  static const oci::BlockIo kNone;
  return r.block_io ? *r.block_io : kNone;
}

// Unlimited memory with no word on swap lifts the swap limit too: it may not be below memory.
Text memsw(const Resources& r) {
  const oci::Memory& memory = memory_of(r);
  if (memory.limit.value_or(0) < 0 && memory.swap.value_or(0) == 0) return "-1";
  return nonzero(memory.swap);
}
Text oom_control(const Resources& r) {
  const std::optional<bool>& off = memory_of(r).disable_oom_killer;
  if (!off) return std::nullopt;
  return *off ? "1" : "0";
}
Text pids_max(const Resources& r) {
  if (!r.pids_limit) return std::nullopt;
  return *r.pids_limit <= 0 ? "max" : std::to_string(*r.pids_limit);
}
Text list(const std::string& value) {
  if (value.empty()) return std::nullopt;
  return value;
}
Text class_id(const Resources& r) {
  return r.network ? nonzero(r.network->class_id) : std::nullopt;
}

struct Knob {
  const char* controller;
  const char* file;
  const char* v2_word;  // what cgroup v2 calls it; "": nothing
  const char* field;    // below linux.resources
  Text (*value)(const Resources&);
  const char* lifting;  // the value that takes the limit away
  bool
      checked_with_others;  // the kernel compares it with a neighbour: the order may have to change
};

constexpr std::array kKnobs = {
    Knob{"memory", "memory.limit_in_bytes", "memory.max", "memory.limit",
         [](const Resources& r) { return nonzero(memory_of(r).limit); }, "-1", true},
    Knob{"memory", "memory.memsw.limit_in_bytes", "memory.swap.max", "memory.swap", memsw, "-1",
         true},
    Knob{"memory", "memory.soft_limit_in_bytes", "memory.low", "memory.reservation",
         [](const Resources& r) { return nonzero(memory_of(r).reservation); }, "-1", false},
    Knob{"memory", "memory.kmem.tcp.limit_in_bytes", "", "memory.kernelTCP",
         [](const Resources& r) { return nonzero(memory_of(r).kernel_tcp); }, "-1", false},
    Knob{"memory", "memory.swappiness", "", "memory.swappiness",
         [](const Resources& r) { return number(memory_of(r).swappiness); }, "", false},
    Knob{"memory", "memory.oom_control", "", "memory.disableOOMKiller", oom_control, "0", false},
    Knob{"cpu", "cpu.idle", "cpu.idle", "cpu.idle",
         [](const Resources& r) { return number(cpu_of(r).idle); }, "0", false},
    Knob{"cpu", "cpu.shares", "cpu.weight", "cpu.shares",
         [](const Resources& r) { return nonzero(cpu_of(r).shares); }, "", false},
    Knob{"cpu", "cpu.cfs_burst_us", "cpu.max.burst", "cpu.burst",
         [](const Resources& r) { return number(cpu_of(r).burst); }, "0", true},
    Knob{"cpu", "cpu.cfs_period_us", "cpu.max", "cpu.period",
         [](const Resources& r) { return nonzero(cpu_of(r).period); }, "", true},
    Knob{"cpu", "cpu.cfs_quota_us", "cpu.max", "cpu.quota",
         [](const Resources& r) { return nonzero(cpu_of(r).quota); }, "-1", true},
    Knob{"cpu", "cpu.rt_period_us", "", "cpu.realtimePeriod",
         [](const Resources& r) { return nonzero(cpu_of(r).realtime_period); }, "", true},
    Knob{"cpu", "cpu.rt_runtime_us", "", "cpu.realtimeRuntime",
         [](const Resources& r) { return nonzero(cpu_of(r).realtime_runtime); }, "", true},
    Knob{"cpuset", "cpuset.cpus", "cpuset.cpus", "cpu.cpus",
         [](const Resources& r) { return list(cpu_of(r).cpus); }, "", false},
    Knob{"cpuset", "cpuset.mems", "cpuset.mems", "cpu.mems",
         [](const Resources& r) { return list(cpu_of(r).mems); }, "", false},
    Knob{"pids", "pids.max", "pids.max", "pids.limit", pids_max, "max", false},
    Knob{"blkio", "blkio.leaf_weight", "", "blockIO.leafWeight",
         [](const Resources& r) { return nonzero(io_of(r).leaf_weight); }, "", false},
    Knob{"net_cls", "net_cls.classid", "", "network.classID", class_id, "", false},
};

struct Throttle {
  const char* file;
  const char* field;
  std::vector<oci::ThrottleDevice> oci::BlockIo::*devices;
};
constexpr std::array kThrottles = {
    Throttle{"blkio.throttle.read_bps_device", "throttleReadBpsDevice",
             &oci::BlockIo::throttle_read_bps},
    Throttle{"blkio.throttle.write_bps_device", "throttleWriteBpsDevice",
             &oci::BlockIo::throttle_write_bps},
    Throttle{"blkio.throttle.read_iops_device", "throttleReadIOPSDevice",
             &oci::BlockIo::throttle_read_iops},
    Throttle{"blkio.throttle.write_iops_device", "throttleWriteIOPSDevice",
             &oci::BlockIo::throttle_write_iops},
};

std::string path(std::string_view field) {
  return "linux.resources." + std::string(field);
}

std::string indexed(std::string_view field, std::size_t index) {
  return path(field) + "[" + std::to_string(index) + "]";
}

std::string device(std::int64_t major, std::int64_t minor) {
  return std::to_string(major) + ":" + std::to_string(minor);
}

void add_weights(const oci::BlockIo& io, const Reader& read, std::vector<Write>& writes) {
  if (io.weight.value_or(0) == 0 && io.weight_devices.empty()) return;
  std::string file = weight_file(read);
  if (Text weight = nonzero(io.weight)) {
    writes.push_back({"blkio", file, *weight, path("blockIO.weight")});
  }
  for (std::size_t i = 0; i < io.weight_devices.size(); ++i) {
    const oci::WeightDevice& one = io.weight_devices[i];
    std::string where = indexed("blockIO.weightDevice", i);
    std::string name = device(one.major, one.minor) + " ";
    if (Text weight = nonzero(one.weight)) {
      writes.push_back({"blkio", file + "_device", name + *weight, where});
    }
    if (Text weight = nonzero(one.leaf_weight)) {
      writes.push_back({"blkio", "blkio.leaf_weight_device", name + *weight, where});
    }
  }
}

void add_throttles(const oci::BlockIo& io, std::vector<Write>& writes) {
  for (const Throttle& throttle : kThrottles) {
    const std::vector<oci::ThrottleDevice>& devices = io.*throttle.devices;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      writes.push_back(
          {"blkio", throttle.file,
           device(devices[i].major, devices[i].minor) + " " + std::to_string(devices[i].rate),
           indexed(std::string("blockIO.") + throttle.field, i), devices[i].rate == 0});
    }
  }
}

void add_lists(const Resources& resources, const Bound& bound, const Reader& read,
               std::vector<Write>& writes) {
  if (bound("blkio") && resources.block_io) {
    add_weights(*resources.block_io, read, writes);
    add_throttles(*resources.block_io, writes);
  }
  for (std::size_t i = 0; bound("hugetlb") && i < resources.hugepage_limits.size(); ++i) {
    const oci::HugepageLimit& one = resources.hugepage_limits[i];
    std::string limit = std::to_string(one.limit);
    std::string prefix = "hugetlb." + one.page_size;
    writes.push_back({"hugetlb", prefix + ".limit_in_bytes", limit, indexed("hugepageLimits", i)});
    writes.push_back(
        {"hugetlb", prefix + ".rsvd.limit_in_bytes", limit, indexed("hugepageLimits", i)});
  }
  for (std::size_t i = 0; bound("rdma") && i < resources.rdma.size(); ++i) {
    const oci::Rdma& one = resources.rdma[i];
    std::string value = one.device;
    if (one.hca_handles) value += " hca_handle=" + std::to_string(*one.hca_handles);
    if (one.hca_objects) value += " hca_object=" + std::to_string(*one.hca_objects);
    if (value.size() == one.device.size()) continue;
    writes.push_back({"rdma", "rdma.max", value, path("rdma[" + quote(one.device) + "]")});
  }
  if (!resources.network) return;
  for (std::size_t i = 0; i < resources.network->priorities.size(); ++i) {
    const oci::InterfacePriority& one = resources.network->priorities[i];
    writes.push_back({"net_prio", "net_prio.ifpriomap",
                      one.name + " " + std::to_string(one.priority),
                      indexed("network.priorities", i)});
  }
}

Result<void> check_memory(const oci::Memory& memory, const Reader& read) {
  if (memory.kernel.value_or(0) > 0) {
    log::warning("linux.resources.memory.kernel is deprecated and no longer enforced by kernels");
  }
  std::int64_t limit = memory.limit.value_or(0);
  std::int64_t swap = memory.swap.value_or(0);
  if (limit > 0 && swap > 0 && swap < limit) {
    return Error(Code::kInvalid, "memory plus swap (" + std::to_string(swap) +
                                     ") is below the memory limit (" + std::to_string(limit) + ")")
        .at(path("memory.swap"));
  }
  if (!memory.check_before_update.value_or(false) || limit <= 0) return {};
  std::string text = TRY(read("memory", "memory.usage_in_bytes"));
  std::int64_t usage = parse_i64(trim(text)).value_or(0);
  if (usage <= limit) return {};
  return Error(Code::kState, "the memory limit " + std::to_string(limit) +
                                 " is below the present usage " + std::to_string(usage))
      .at(path("memory.checkBeforeUpdate"));
}

// The kernel rounds shares outside of its range without a word.
Result<void> check_shares(const oci::Cpu& cpu) {
  std::uint64_t shares = cpu.shares.value_or(0);
  if (shares == 0 || (shares >= 2 && shares <= 262144)) return {};
  return Error(Code::kInvalid, std::to_string(shares) + " is not between 2 and 262144")
      .at(path("cpu.shares"));
}

}  // namespace

std::string weight_file(const Reader& read) {
  return read("blkio", "blkio.bfq.weight") ? "blkio.bfq.weight" : "blkio.weight";
}

std::string v1_controller(std::string_view v2_name) {
  return v2_name == "io" ? "blkio" : std::string(v2_name);
}

Result<std::vector<Write>> legacy_writes(const oci::Resources& resources, const Bound& bound,
                                         const Reader& read) {
  if (bound("memory") && resources.memory) TRY(check_memory(*resources.memory, read));
  if (bound("cpu") && resources.cpu) TRY(check_shares(*resources.cpu));
  std::vector<Write> writes;
  for (const Knob& knob : kKnobs) {
    // The network knobs exist nowhere else: without their hierarchy they are errors here.
    bool network = std::string_view(knob.controller).starts_with("net_");
    if (!network && !bound(knob.controller)) continue;
    Text value = knob.value(resources);
    if (!value) continue;
    writes.push_back({knob.controller, knob.file, *value, path(knob.field), *value == knob.lifting,
                      knob.checked_with_others});
  }
  add_lists(resources, bound, read, writes);
  return writes;
}

oci::Resources without_bound(const oci::Resources& resources, const Bound& bound) {
  oci::Resources rest = resources;
  if (bound("memory")) rest.memory.reset();
  if (rest.cpu && bound("cpu")) {
    oci::Cpu cpuset;
    cpuset.cpus = rest.cpu->cpus;
    cpuset.mems = rest.cpu->mems;
    rest.cpu = cpuset;
  }
  if (rest.cpu && bound("cpuset")) {
    rest.cpu->cpus.clear();
    rest.cpu->mems.clear();
  }
  if (bound("pids")) rest.pids_limit.reset();
  if (bound("blkio")) rest.block_io.reset();
  if (bound("hugetlb")) rest.hugepage_limits.clear();
  if (bound("rdma")) rest.rdma.clear();
  rest.network.reset();
  return rest;
}

}  // namespace vrun::cgroups
