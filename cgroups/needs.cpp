#include <algorithm>

#include "base/text.hpp"
#include "cgroups/knob.hpp"

namespace vrun::cgroups {
namespace {

bool limits(const std::optional<std::int64_t>& value) {
  return value && *value > 0;
}

void memory_needs(const oci::Memory& memory, std::vector<Need>& needs) {
  auto need = [&](bool wanted, const char* field) {
    if (wanted) needs.push_back({"memory", std::string("linux.resources.memory.") + field});
  };
  need(limits(memory.limit), "limit");
  need(limits(memory.reservation), "reservation");
  need(limits(memory.swap), "swap");
  need(limits(memory.kernel_tcp), "kernelTCP");
  need(memory.swappiness.has_value(), "swappiness");
  need(memory.disable_oom_killer.value_or(false), "disableOOMKiller");
}

void cpu_needs(const oci::Cpu& cpu, std::vector<Need>& needs) {
  auto need = [&](bool wanted, const char* controller, const char* field) {
    if (wanted) needs.push_back({controller, std::string("linux.resources.cpu.") + field});
  };
  need(cpu.shares.value_or(0) != 0, "cpu", "shares");
  need(limits(cpu.quota), "cpu", "quota");
  need(cpu.period.value_or(0) != 0, "cpu", "period");
  need(cpu.burst.value_or(0) != 0, "cpu", "burst");
  need(cpu.idle.value_or(0) != 0, "cpu", "idle");
  need(cpu.realtime_runtime.value_or(0) != 0, "cpu", "realtimeRuntime");
  need(cpu.realtime_period.value_or(0) != 0, "cpu", "realtimePeriod");
  need(!cpu.cpus.empty(), "cpuset", "cpus");
  need(!cpu.mems.empty(), "cpuset", "mems");
}

void io_needs(const oci::BlockIo& io, std::vector<Need>& needs) {
  auto need = [&](bool wanted, const char* field) {
    if (wanted) needs.push_back({"io", std::string("linux.resources.blockIO.") + field});
  };
  need(io.weight.value_or(0) != 0, "weight");
  need(io.leaf_weight.value_or(0) != 0, "leafWeight");
  need(!io.weight_devices.empty(), "weightDevice");
  need(!io.throttle_read_bps.empty(), "throttleReadBpsDevice");
  need(!io.throttle_write_bps.empty(), "throttleWriteBpsDevice");
  need(!io.throttle_read_iops.empty(), "throttleReadIOPSDevice");
  need(!io.throttle_write_iops.empty(), "throttleWriteIOPSDevice");
}

void network_needs(const oci::NetworkResources& network, std::vector<Need>& needs) {
  if (network.class_id.value_or(0) != 0) {
    needs.push_back({"net_cls", "linux.resources.network.classID"});
  }
  if (!network.priorities.empty()) {
    needs.push_back({"net_prio", "linux.resources.network.priorities"});
  }
}

}  // namespace

std::vector<Need> needed_controllers(const oci::Resources& resources) {
  std::vector<Need> needs;
  if (resources.memory) memory_needs(*resources.memory, needs);
  if (resources.cpu) cpu_needs(*resources.cpu, needs);
  if (limits(resources.pids_limit)) needs.push_back({"pids", "linux.resources.pids.limit"});
  if (resources.block_io) io_needs(*resources.block_io, needs);
  if (!resources.hugepage_limits.empty()) {
    needs.push_back({"hugetlb", "linux.resources.hugepageLimits"});
  }
  if (resources.network) network_needs(*resources.network, needs);
  if (!resources.rdma.empty()) needs.push_back({"rdma", "linux.resources.rdma"});
  for (const auto& [key, value] : resources.unified) {
    std::string controller = key.substr(0, key.find('.'));
    if (controller != "cgroup") {
      needs.push_back({controller, "linux.resources.unified[" + quote(key) + "]"});
    }
  }
  return needs;
}

Error unenforceable(std::string_view where, std::string_view why) {
  return Error(Code::kUnsupported, std::string(why)).at(where);
}

}  // namespace vrun::cgroups
