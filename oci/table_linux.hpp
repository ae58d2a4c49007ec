// JSON tables of `linux` and of the whole document (config.md, config-linux.md of
// runtime-spec 1.3).
#pragma once

#include <array>

#include "base/json_table.hpp"
#include "oci/spec.hpp"
#include "oci/table_process.hpp"
#include "oci/table_resources.hpp"
#include "oci/table_seccomp.hpp"

namespace vrun::oci {

inline constexpr std::string_view kNamespaceNames[] = {"pid", "network", "mount",  "ipc",
                                                       "uts", "user",    "cgroup", "time"};
inline constexpr std::string_view kDeviceTypes[] = {"c", "b", "u", "p"};
inline constexpr std::string_view kPropagations[] = {
    "", "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"};
inline constexpr std::string_view kMemoryModes[] = {
    "MPOL_DEFAULT",   "MPOL_BIND",           "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
    "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL"};
inline constexpr std::string_view kMemoryFlags[] = {"MPOL_F_NUMA_BALANCING",
                                                    "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"};
inline constexpr std::string_view kPersonalityDomains[] = {"LINUX", "LINUX32"};
inline constexpr std::string_view kClocks[] = {"monotonic", "boottime"};

// The version must be a semantic version 1.x.
void json_check(const json::In& in, const Spec& spec);
// enableCMT and enableMBM, the two switches of runtime-spec 1.0 to 1.2, are enableMonitoring now.
void read_old_monitoring(const json::In& in, IntelRdt& rdt);

constexpr auto json_names(const NamespaceType*) {
  return std::to_array(kNamespaceNames);
}

constexpr auto json_fields(const Namespace*) {
  return json::fields(json::field("type", &Namespace::type, {.required = true}),
                      json::field("path", &Namespace::path));
}

constexpr auto json_fields(const Device*) {
  return json::fields(
      json::field("path", &Device::path, {.required = true, .non_empty = true}),
      json::field("type", &Device::type, {.names = kDeviceTypes, .required = true}),
      json::field("major", &Device::major, {.min = 0, .max = 0xFFFFFFFFU, .always = true}),
      json::field("minor", &Device::minor, {.min = 0, .max = 0xFFFFFFFFU, .always = true}),
      json::field("fileMode", &Device::file_mode), json::field("uid", &Device::uid),
      json::field("gid", &Device::gid));
}

constexpr auto json_fields(const NetDevice*) {
  return json::fields(json::field("name", &NetDevice::name));
}

constexpr auto json_fields(const IntelRdt*) {
  return json::fields(json::field("closID", &IntelRdt::clos_id),
                      json::field("schemata", &IntelRdt::schemata),
                      json::field("l3CacheSchema", &IntelRdt::l3_cache_schema),
                      json::field("memBwSchema", &IntelRdt::mem_bw_schema),
                      json::field("enableMonitoring", &IntelRdt::enable_monitoring),
                      json::custom("enableCMT", &read_old_monitoring),
                      json::custom("enableMBM", &read_old_monitoring));
}

constexpr auto json_fields(const MemoryPolicy*) {
  return json::fields(
      json::field("mode", &MemoryPolicy::mode, {.names = kMemoryModes, .required = true}),
      json::field("nodes", &MemoryPolicy::nodes, {.always = true}),
      json::field("flags", &MemoryPolicy::flags, {.names = kMemoryFlags}));
}

constexpr auto json_fields(const Personality*) {
  return json::fields(
      json::field("domain", &Personality::domain, {.names = kPersonalityDomains, .required = true}),
      json::field("flags", &Personality::flags));
}

constexpr auto json_fields(const TimeOffset*) {
  return json::fields(json::field("secs", &TimeOffset::secs),
                      json::field("nanosecs", &TimeOffset::nanosecs, {.max = 999'999'999}));
}

constexpr auto json_fields(const Linux*) {
  return json::fields(
      json::field("uidMappings", &Linux::uid_mappings),
      json::field("gidMappings", &Linux::gid_mappings), json::field("sysctl", &Linux::sysctl),
      json::field("resources", &Linux::resources), json::field("cgroupsPath", &Linux::cgroups_path),
      json::field("namespaces", &Linux::namespaces), json::field("devices", &Linux::devices),
      json::keyed("netDevices", &Linux::net_devices, &NetDevice::host_name),
      json::field("seccomp", &Linux::seccomp),
      json::field("rootfsPropagation", &Linux::rootfs_propagation, {.names = kPropagations}),
      json::field("maskedPaths", &Linux::masked_paths),
      json::field("readonlyPaths", &Linux::readonly_paths),
      json::field("mountLabel", &Linux::mount_label), json::field("intelRdt", &Linux::intel_rdt),
      json::field("memoryPolicy", &Linux::memory_policy),
      json::field("personality", &Linux::personality),
      json::keyed("timeOffsets", &Linux::time_offsets, &TimeOffset::clock, {.names = kClocks}));
}

constexpr auto json_fields(const VmHypervisor*) {
  return json::fields(json::field("path", &VmHypervisor::path, {.required = true}),
                      json::field("parameters", &VmHypervisor::parameters));
}
constexpr auto json_fields(const VmKernel*) {
  return json::fields(json::field("path", &VmKernel::path, {.required = true}),
                      json::field("parameters", &VmKernel::parameters),
                      json::field("initrd", &VmKernel::initrd));
}
constexpr auto json_fields(const VmImage*) {
  return json::fields(json::field("path", &VmImage::path, {.required = true}),
                      json::field("format", &VmImage::format, {.required = true}));
}
constexpr auto json_fields(const VmHardware*) {
  return json::fields(json::field("deviceTree", &VmHardware::device_tree),
                      json::field("vcpus", &VmHardware::vcpus),
                      json::field("memory", &VmHardware::memory));
}
constexpr auto json_fields(const Vm*) {
  return json::fields(json::field("hypervisor", &Vm::hypervisor),
                      json::field("kernel", &Vm::kernel), json::field("image", &Vm::image),
                      json::field("hwConfig", &Vm::hardware));
}

constexpr auto json_fields(const Spec*) {
  return json::fields(
      json::field("ociVersion", &Spec::oci_version, {.required = true}),
      json::field("process", &Spec::process), json::field("root", &Spec::root, {.required = true}),
      json::field("hostname", &Spec::hostname), json::field("domainname", &Spec::domainname),
      json::field("mounts", &Spec::mounts), json::field("hooks", &Spec::hooks),
      json::field("annotations", &Spec::annotations), json::field("linux", &Spec::linux),
      json::field("vm", &Spec::vm));
}

}  // namespace vrun::oci
