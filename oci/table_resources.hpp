// JSON tables of `linux.resources` (config-linux.md of runtime-spec 1.3), also read by `update`.
//
// Zero often means "leave it" here: Docker writes weight 0, quota 0 and limit 0 for what was not
// asked. What a zero does is decided by cgroups/, the reader only keeps it.
#pragma once

#include "base/json_table.hpp"
#include "oci/spec.hpp"

namespace vrun::oci {

inline constexpr std::string_view kRuleTypes[] = {"a", "b", "c"};

void read_swappiness(const json::In& in, Memory& memory);
void write_swappiness(json::Writer& w, const Memory& memory);

constexpr auto json_fields(const DeviceRule*) {
  return json::fields(json::field("allow", &DeviceRule::allow, {.required = true}),
                      json::field("type", &DeviceRule::type, {.names = kRuleTypes}),
                      json::field("major", &DeviceRule::major, {.min = -1, .max = 0xFFFFFFFFU}),
                      json::field("minor", &DeviceRule::minor, {.min = -1, .max = 0xFFFFFFFFU}),
                      json::field("access", &DeviceRule::access));
}

constexpr auto json_fields(const Memory*) {
  return json::fields(json::field("limit", &Memory::limit, {.min = -1}),
                      json::field("reservation", &Memory::reservation, {.min = -1}),
                      json::field("swap", &Memory::swap, {.min = -1}),
                      json::field("kernel", &Memory::kernel, {.min = -1}),
                      json::field("kernelTCP", &Memory::kernel_tcp, {.min = -1}),
                      json::custom("swappiness", &read_swappiness, &write_swappiness),
                      json::field("disableOOMKiller", &Memory::disable_oom_killer),
                      json::field("useHierarchy", &Memory::use_hierarchy),
                      json::field("checkBeforeUpdate", &Memory::check_before_update));
}

constexpr auto json_fields(const Cpu*) {
  return json::fields(
      json::field("shares", &Cpu::shares), json::field("quota", &Cpu::quota, {.min = -1}),
      json::field("burst", &Cpu::burst), json::field("period", &Cpu::period),
      json::field("realtimeRuntime", &Cpu::realtime_runtime, {.min = -1}),
      json::field("realtimePeriod", &Cpu::realtime_period), json::field("cpus", &Cpu::cpus),
      json::field("mems", &Cpu::mems), json::field("idle", &Cpu::idle, {.min = 0, .max = 1}));
}

constexpr auto json_fields(const WeightDevice*) {
  return json::fields(
      json::field("major", &WeightDevice::major, {.min = 0, .max = 0xFFFFFFFFU, .required = true}),
      json::field("minor", &WeightDevice::minor, {.min = 0, .max = 0xFFFFFFFFU, .required = true}),
      json::field("weight", &WeightDevice::weight, {.max = 1000}),
      json::field("leafWeight", &WeightDevice::leaf_weight, {.max = 1000}));
}

constexpr auto json_fields(const ThrottleDevice*) {
  return json::fields(json::field("major", &ThrottleDevice::major,
                                  {.min = 0, .max = 0xFFFFFFFFU, .required = true}),
                      json::field("minor", &ThrottleDevice::minor,
                                  {.min = 0, .max = 0xFFFFFFFFU, .required = true}),
                      json::field("rate", &ThrottleDevice::rate, {.required = true}));
}

constexpr auto json_fields(const BlockIo*) {
  return json::fields(json::field("weight", &BlockIo::weight, {.max = 1000}),
                      json::field("leafWeight", &BlockIo::leaf_weight, {.max = 1000}),
                      json::field("weightDevice", &BlockIo::weight_devices),
                      json::field("throttleReadBpsDevice", &BlockIo::throttle_read_bps),
                      json::field("throttleWriteBpsDevice", &BlockIo::throttle_write_bps),
                      json::field("throttleReadIOPSDevice", &BlockIo::throttle_read_iops),
                      json::field("throttleWriteIOPSDevice", &BlockIo::throttle_write_iops));
}

constexpr auto json_fields(const HugepageLimit*) {
  return json::fields(
      json::field("pageSize", &HugepageLimit::page_size, {.required = true, .non_empty = true}),
      json::field("limit", &HugepageLimit::limit, {.required = true}));
}

constexpr auto json_fields(const InterfacePriority*) {
  return json::fields(
      json::field("name", &InterfacePriority::name, {.required = true, .non_empty = true}),
      json::field("priority", &InterfacePriority::priority, {.required = true}));
}

constexpr auto json_fields(const NetworkResources*) {
  return json::fields(json::field("classID", &NetworkResources::class_id),
                      json::field("priorities", &NetworkResources::priorities));
}

constexpr auto json_fields(const Rdma*) {
  return json::fields(json::field("hcaHandles", &Rdma::hca_handles),
                      json::field("hcaObjects", &Rdma::hca_objects));
}

constexpr auto json_fields(const Resources*) {
  return json::fields(
      json::field("devices", &Resources::devices), json::field("memory", &Resources::memory),
      json::field("cpu", &Resources::cpu),
      json::group("pids", json::field("limit", &Resources::pids_limit, {.min = -1})),
      json::field("blockIO", &Resources::block_io),
      json::field("hugepageLimits", &Resources::hugepage_limits),
      json::field("network", &Resources::network),
      json::keyed("rdma", &Resources::rdma, &Rdma::device),
      json::field("unified", &Resources::unified));
}

}  // namespace vrun::oci
