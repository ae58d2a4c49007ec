// The line of `events`: cgroups::Stats with the field names of runc's events.
#include "base/json_writer.hpp"
#include "cli/oci_json.hpp"

namespace vrun::cli {
namespace {

using cgroups::Stats;
using json::Writer;

void write_stall_line(Writer& out, const char* key, const cgroups::Pressure& pressure) {
  out.key(key)
      .begin_object()
      .member("avg10", pressure.avg10)
      .member("avg60", pressure.avg60)
      .member("avg300", pressure.avg300)
      .member("total", pressure.total_us)
      .end_object();
}

void write_stall(Writer& out, const std::optional<cgroups::PressureStall>& pressure) {
  if (!pressure) return;
  out.key("psi").begin_object();
  write_stall_line(out, "some", pressure->some);
  write_stall_line(out, "full", pressure->full);
  out.end_object();
}

void write_list(Writer& out, const char* key, const std::vector<std::uint64_t>& values) {
  if (values.empty()) return;
  out.key(key).begin_array();
  for (const std::uint64_t value : values)
    out.value(value);
  out.end_array();
}

void write_cpu(Writer& out, const Stats::CpuStats& cpu) {
  out.key("cpu").begin_object();
  out.key("usage").begin_object().member("total", cpu.usage_ns);
  write_list(out, "percpu", cpu.percpu_ns);
  write_list(out, "percpu_kernel", cpu.percpu_kernel_ns);
  write_list(out, "percpu_user", cpu.percpu_user_ns);
  out.member("kernel", cpu.system_ns).member("user", cpu.user_ns).end_object();
  out.key("throttling")
      .begin_object()
      .member("periods", cpu.periods)
      .member("throttledPeriods", cpu.throttled_periods)
      .member("throttledTime", cpu.throttled_ns)
      .end_object();
  write_stall(out, cpu.pressure);
  out.end_object();
}

struct Usage {
  std::uint64_t limit, usage, max, failcnt;
};

void write_usage(Writer& out, const char* key, const Usage& usage) {
  out.key(key)
      .begin_object()
      .member("limit", usage.limit)
      .member("usage", usage.usage)
      .member("max", usage.max)
      .member("failcnt", usage.failcnt)
      .end_object();
}

void write_memory(Writer& out, const Stats::MemoryStats& memory) {
  out.key("memory").begin_object().member("cache", memory.cache);
  write_usage(out, "usage", {memory.limit, memory.usage, memory.max_usage, memory.failcnt});
  write_usage(out, "swap",
              {memory.swap_limit, memory.swap_usage, memory.swap_max_usage, memory.swap_failcnt});
  write_usage(out, "kernel", {0, memory.kernel_usage, 0, 0});
  write_usage(out, "kernelTCP", {0, 0, 0, 0});
  out.member("oomKills", memory.oom_kills);
  out.key("raw").begin_object();
  for (const auto& [key, value] : memory.raw)
    out.member(key, value);
  out.end_object();
  write_stall(out, memory.pressure);
  out.end_object();
}

void write_pids(Writer& out, const Stats::PidsStats& pids) {
  out.key("pids").begin_object().member("current", pids.current).member("limit", pids.limit);
  out.end_object();
}

void write_entries(Writer& out, const char* key, const std::vector<cgroups::BlkioEntry>& entries) {
  if (entries.empty()) return;
  out.key(key).begin_array();
  for (const cgroups::BlkioEntry& entry : entries) {
    out.begin_object()
        .member("major", entry.major)
        .member("minor", entry.minor)
        .member("op", entry.op)
        .member("value", entry.value)
        .end_object();
  }
  out.end_array();
}

void write_io(Writer& out, const Stats::IoStats& io) {
  out.key("blkio").begin_object();
  write_entries(out, "ioServiceBytesRecursive", io.bytes);
  write_entries(out, "ioServicedRecursive", io.operations);
  write_stall(out, io.pressure);
  out.end_object();
}

void write_hugetlb(Writer& out, const std::map<std::string, cgroups::HugetlbStats>& pages) {
  out.key("hugetlb").begin_object();
  for (const auto& [size, stats] : pages) {
    out.key(size)
        .begin_object()
        .member("usage", stats.usage)
        .member("max", stats.max)
        .member("failcnt", stats.failcnt)
        .end_object();
  }
  out.end_object();
}

void write_rdma(Writer& out, const std::vector<cgroups::RdmaStats>& devices) {
  out.key("rdma").begin_array();
  for (const cgroups::RdmaStats& device : devices) {
    out.begin_object()
        .member("device", device.device)
        .member("hcaHandles", device.hca_handles)
        .member("hcaObjects", device.hca_objects)
        .end_object();
  }
  out.end_array();
}

}  // namespace

std::string stats_line(const std::string& id, const Stats& stats) {
  Writer out;
  out.begin_object().member("type", "stats").member("id", id);
  out.key("data").begin_object();
  if (stats.cpu) write_cpu(out, *stats.cpu);
  if (stats.memory) write_memory(out, *stats.memory);
  if (stats.pids) write_pids(out, *stats.pids);
  if (stats.io) write_io(out, *stats.io);
  if (!stats.hugetlb.empty()) write_hugetlb(out, stats.hugetlb);
  if (!stats.rdma.empty()) write_rdma(out, stats.rdma);
  out.end_object().end_object();
  return out.take() + '\n';
}

}  // namespace vrun::cli
