// The runtime-spec 1.3 configuration for Linux as plain structs.
//
// Field names follow the specification in snake_case. std::optional means that absent and zero
// differ. Enumerations are decoded by the reader; strings that name kernel objects (capability,
// system call, mount option, cgroup key) stay strings until the folder that owns them plans.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/id.hpp"

namespace vrun::oci {

struct Root {
  std::string path;  // absolute, or relative to the bundle
  bool readonly = false;
  bool operator==(const Root&) const = default;
};

struct IdMapping {
  std::uint32_t container_id = 0;
  std::uint32_t host_id = 0;
  std::uint32_t size = 0;
  auto operator<=>(const IdMapping&) const = default;
};

struct Mount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  bool operator==(const Mount&) const = default;
};

struct ConsoleSize {
  std::uint16_t height = 0;
  std::uint16_t width = 0;
  bool operator==(const ConsoleSize&) const = default;
};

struct User {
  Uid uid;
  Gid gid;
  std::optional<std::uint32_t> umask;
  std::vector<Gid> additional_gids;
  bool operator==(const User&) const = default;
};

struct Capabilities {
  std::vector<std::string> bounding, effective, inheritable, permitted, ambient;
  bool operator==(const Capabilities&) const = default;
};

struct Rlimit {
  std::string type;  // "RLIMIT_NOFILE"
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
  bool operator==(const Rlimit&) const = default;
};

struct Scheduler {
  std::string policy;  // "SCHED_OTHER" ...
  std::int32_t nice = 0;
  std::int32_t priority = 0;
  std::vector<std::string> flags;  // "SCHED_FLAG_RESET_ON_FORK" ...
  std::uint64_t runtime = 0;       // ns
  std::uint64_t deadline = 0;      // ns
  std::uint64_t period = 0;        // ns
  bool operator==(const Scheduler&) const = default;
};

struct IoPriority {
  std::string io_class;  // "IOPRIO_CLASS_BE" ...
  std::int32_t priority = 0;
  bool operator==(const IoPriority&) const = default;
};

struct CpuAffinity {  // lists as in cpuset(7): "0-3,8"
  std::string initial;
  std::string final;
  bool operator==(const CpuAffinity&) const = default;
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd;
  std::optional<Capabilities> capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile;
  std::optional<int> oom_score_adj;
  std::optional<Scheduler> scheduler;
  std::string selinux_label;
  std::optional<IoPriority> io_priority;
  std::optional<CpuAffinity> exec_cpu_affinity;
  bool operator==(const Process&) const = default;
};

struct Hook {
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::optional<int> timeout;  // seconds
  bool operator==(const Hook&) const = default;
};

struct Hooks {
  std::vector<Hook> prestart, create_runtime, create_container, start_container, poststart,
      poststop;
  bool operator==(const Hooks&) const = default;
};

enum class NamespaceType { kPid, kNetwork, kMount, kIpc, kUts, kUser, kCgroup, kTime };

struct Namespace {
  NamespaceType type;
  std::string path;  // empty: a new one
  bool operator==(const Namespace&) const = default;
};

struct Device {
  char type = 'c';  // 'c', 'b', 'u' (as 'c'), 'p'
  std::string path;
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::optional<std::uint32_t> file_mode;
  std::optional<Uid> uid;
  std::optional<Gid> gid;
  bool operator==(const Device&) const = default;
};

struct NetDevice {
  std::string host_name;  // key of the object linux.netDevices
  std::string name;       // the name inside; empty: unchanged
  bool operator==(const NetDevice&) const = default;
};

struct DeviceRule {
  bool allow = false;
  char type = 'a';                    // 'a', 'b', 'c'
  std::optional<std::int64_t> major;  // absent or -1: any
  std::optional<std::int64_t> minor;
  std::string access;  // subset of "rwm"; empty: rwm
  bool operator==(const DeviceRule&) const = default;
};

struct Memory {
  std::optional<std::int64_t> limit, reservation, swap, kernel, kernel_tcp;  // bytes, -1: unlimited
  std::optional<std::uint64_t> swappiness;
  std::optional<bool> disable_oom_killer, use_hierarchy, check_before_update;
  bool operator==(const Memory&) const = default;
};

struct Cpu {
  std::optional<std::uint64_t> shares;
  std::optional<std::int64_t> quota;    // us per period
  std::optional<std::uint64_t> burst;   // us
  std::optional<std::uint64_t> period;  // us
  std::optional<std::int64_t> realtime_runtime;
  std::optional<std::uint64_t> realtime_period;
  std::string cpus, mems;
  std::optional<std::int64_t> idle;
  bool operator==(const Cpu&) const = default;
};

struct WeightDevice {
  std::int64_t major = 0, minor = 0;
  std::optional<std::uint16_t> weight, leaf_weight;
  bool operator==(const WeightDevice&) const = default;
};

struct ThrottleDevice {
  std::int64_t major = 0, minor = 0;
  std::uint64_t rate = 0;  // bytes or operations a second
  bool operator==(const ThrottleDevice&) const = default;
};

struct BlockIo {
  std::optional<std::uint16_t> weight, leaf_weight;
  std::vector<WeightDevice> weight_devices;
  std::vector<ThrottleDevice> throttle_read_bps, throttle_write_bps, throttle_read_iops,
      throttle_write_iops;
  bool operator==(const BlockIo&) const = default;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  std::uint64_t limit = 0;
  bool operator==(const HugepageLimit&) const = default;
};

struct InterfacePriority {
  std::string name;
  std::uint32_t priority = 0;
  bool operator==(const InterfacePriority&) const = default;
};

struct NetworkResources {
  std::optional<std::uint32_t> class_id;
  std::vector<InterfacePriority> priorities;
  bool operator==(const NetworkResources&) const = default;
};

struct Rdma {
  std::string device;
  std::optional<std::uint32_t> hca_handles, hca_objects;
  bool operator==(const Rdma&) const = default;
};

struct Resources {
  std::vector<DeviceRule> devices;
  std::optional<Memory> memory;
  std::optional<Cpu> cpu;
  std::optional<std::int64_t> pids_limit;  // 0 and -1 mean unlimited (as in runc)
  std::optional<BlockIo> block_io;
  std::vector<HugepageLimit> hugepage_limits;
  std::optional<NetworkResources> network;
  std::vector<Rdma> rdma;
  std::vector<std::pair<std::string, std::string>> unified;
  bool operator==(const Resources&) const = default;
};

struct SyscallArg {
  std::uint32_t index = 0;
  std::uint64_t value = 0;
  std::uint64_t value_two = 0;
  std::string op;  // "SCMP_CMP_EQ" ...
  bool operator==(const SyscallArg&) const = default;
};

struct SyscallRule {
  std::vector<std::string> names;
  std::string action;  // "SCMP_ACT_ALLOW" ...
  std::optional<std::uint32_t> errno_ret;
  std::vector<SyscallArg> args;
  bool operator==(const SyscallRule&) const = default;
};

struct Seccomp {
  std::string default_action;
  std::optional<std::uint32_t> default_errno_ret;
  std::vector<std::string> architectures;
  std::vector<std::string> flags;
  std::string listener_path;
  std::string listener_metadata;
  std::vector<SyscallRule> syscalls;
  bool operator==(const Seccomp&) const = default;
};

struct IntelRdt {
  std::string clos_id;
  std::vector<std::string> schemata;
  std::string l3_cache_schema;
  std::string mem_bw_schema;
  bool enable_monitoring = false;
  bool operator==(const IntelRdt&) const = default;
};

struct MemoryPolicy {
  std::string mode;   // "MPOL_BIND" ...
  std::string nodes;  // "0-3,7"
  std::vector<std::string> flags;
  bool operator==(const MemoryPolicy&) const = default;
};

struct Personality {
  std::string domain;  // "LINUX", "LINUX32"
  std::vector<std::string> flags;
  bool operator==(const Personality&) const = default;
};

struct TimeOffset {
  std::string clock;  // "monotonic", "boottime"
  std::int64_t secs = 0;
  std::uint32_t nanosecs = 0;
  bool operator==(const TimeOffset&) const = default;
};

struct Linux {
  std::vector<IdMapping> uid_mappings, gid_mappings;
  std::vector<std::pair<std::string, std::string>> sysctl;
  std::optional<Resources> resources;
  std::string cgroups_path;
  std::vector<Namespace> namespaces;
  std::vector<Device> devices;
  std::vector<NetDevice> net_devices;
  std::optional<Seccomp> seccomp;
  std::string rootfs_propagation;  // "", shared, slave, private, unbindable and their r-forms
  std::vector<std::string> masked_paths, readonly_paths;
  std::string mount_label;
  std::optional<IntelRdt> intel_rdt;
  std::optional<MemoryPolicy> memory_policy;
  std::optional<Personality> personality;
  std::vector<TimeOffset> time_offsets;
  bool operator==(const Linux&) const = default;
};

// runtime-spec "Virtual-machine-specific Container Configuration".
struct VmHypervisor {
  std::string path;
  std::vector<std::string> parameters;
  bool operator==(const VmHypervisor&) const = default;
};
struct VmKernel {
  std::string path;
  std::vector<std::string> parameters;
  std::string initrd;
  bool operator==(const VmKernel&) const = default;
};
struct VmImage {
  std::string path, format;
  bool operator==(const VmImage&) const = default;
};
struct VmHardware {
  std::string device_tree;
  std::uint32_t vcpus = 0;
  std::uint64_t memory = 0;  // bytes
  bool operator==(const VmHardware&) const = default;
};
struct Vm {
  std::optional<VmHypervisor> hypervisor;
  std::optional<VmKernel> kernel;
  std::optional<VmImage> image;
  std::optional<VmHardware> hardware;  // hwConfig
  bool operator==(const Vm&) const = default;
};

struct Spec {
  std::string oci_version;
  std::optional<Process> process;
  Root root;
  std::string hostname;
  std::string domainname;
  std::vector<Mount> mounts;
  Hooks hooks;
  std::map<std::string, std::string> annotations;
  Linux linux;
  std::optional<Vm> vm;
  bool operator==(const Spec&) const = default;
};

// The state document that hooks and `state` get (runtime-spec "State").
struct State {
  std::string oci_version = "1.3.0";
  std::string id;
  std::string status;  // creating, created, running, paused, stopped
  pid_t pid = 0;       // 0 when stopped
  std::string bundle;
  std::map<std::string, std::string> annotations;
  bool operator==(const State&) const = default;
};

inline const Namespace* find_namespace(const Linux& linux, NamespaceType type) {
  for (const Namespace& ns : linux.namespaces) {
    if (ns.type == type) return &ns;
  }
  return nullptr;
}

}  // namespace vrun::oci
