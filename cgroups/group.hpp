// One container's cgroup. The interface speaks cgroup v2 words only; which hierarchy carries them
// is the back-end's business.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "cgroups/layout.hpp"
#include "oci/spec.hpp"

namespace vrun::cgroups {

struct Pressure {  // one line of a PSI file
  double avg10 = 0, avg60 = 0, avg300 = 0;
  std::uint64_t total_us = 0;
};
struct PressureStall {
  Pressure some, full;
};

struct HugetlbStats {
  std::uint64_t usage = 0, max = 0, failcnt = 0;
};
struct RdmaStats {
  std::string device;
  std::uint64_t hca_handles = 0, hca_objects = 0;
};
struct BlkioEntry {
  std::uint64_t major = 0, minor = 0;
  std::string op;  // "Read", "Write", ...
  std::uint64_t value = 0;
};

struct Stats {  // absent: the controller is not there
  struct CpuStats {
    std::uint64_t usage_ns = 0, user_ns = 0, system_ns = 0;
    std::vector<std::uint64_t> percpu_ns, percpu_kernel_ns, percpu_user_ns;
    std::uint64_t periods = 0, throttled_periods = 0, throttled_ns = 0;
    std::optional<PressureStall> pressure;
  };
  struct MemoryStats {
    std::uint64_t usage = 0, max_usage = 0, limit = 0, failcnt = 0, cache = 0;
    std::uint64_t swap_usage = 0, swap_max_usage = 0, swap_limit = 0, swap_failcnt = 0;
    std::uint64_t kernel_usage = 0, oom_kills = 0;
    std::map<std::string, std::uint64_t> raw;  // memory.stat
    std::optional<PressureStall> pressure;
  };
  struct PidsStats {
    std::uint64_t current = 0, limit = 0;  // limit 0: unlimited
  };
  struct IoStats {
    std::vector<BlkioEntry> bytes, operations;
    std::optional<PressureStall> pressure;
  };
  std::optional<CpuStats> cpu;
  std::optional<MemoryStats> memory;
  std::optional<PidsStats> pids;
  std::optional<IoStats> io;
  std::map<std::string, HugetlbStats> hugetlb;
  std::vector<RdmaStats> rdma;
};

// The record of a group: what is kept in a container's state so that any later command finds the
// group again, also after kill -9 of the command that made it. Text form is stable.
struct Location {
  std::string driver;                        // "cgroupfs" or "systemd"
  std::string path;                          // below the mount of the v2 hierarchy, "/a/b"
  std::map<std::string, std::string> paths;  // hierarchy -> absolute directory ("" is the v2 one)
  std::string unit, slice;                   // systemd driver
  bool operator==(const Location&) const = default;
};

class Group {
 public:
  virtual ~Group() = default;

  virtual const Location& location() const = 0;
  // Makes the directories (and enables controllers above them). Undone by destroy().
  // A directory that exists and has processes in it is an error (runc: "container's cgroup is not
  // empty").
  virtual Result<void> create() = 0;
  // The directory for CLONE_INTO_CGROUP, or -1 where a clone cannot land in the group.
  virtual int clone_target() const = 0;
  // True where join() has to be called after the clone (v1 hierarchies, systemd scopes).
  virtual bool needs_join() const = 0;
  virtual Result<void> join(Pid pid) = 0;
  // Writes every limit; what the host cannot enforce is an error that names the field.
  // For `update`: absent fields are left alone.
  virtual Result<void> set(const oci::Resources& resources) = 0;
  // Allow-list device filter (v2: BPF; linear in the number of rules). Order of rules: last match
  // wins.
  virtual Result<void> set_devices(const std::vector<oci::DeviceRule>& rules) = 0;
  // Gives the group to another user: its directory and the files that the kernel's delegation list
  // names, so that `owner` may make groups below it and move its processes there. The limits of the
  // group itself stay ours. What v1 hierarchies hold cannot be delegated and stays as it is;
  // kUnsupported where no v2 tree carries the group.
  virtual Result<void> delegate(Uid owner) = 0;
  virtual Result<void> freeze(bool frozen) = 0;
  virtual Result<bool> is_frozen() const = 0;
  virtual Result<void> signal_all(int signal) = 0;  // SIGKILL by cgroup.kill where there is one
  virtual Result<std::vector<Pid>> processes() const = 0;  // of the whole subtree
  virtual Result<Stats> stats() const = 0;
  // Blocks for at most timeout_ms (< 0: for ever) for an OOM kill; true if one happened since the
  // last call.
  virtual Result<bool> wait_oom(int timeout_ms) = 0;
  // Kills what is left (bounded wait) and removes the directories, sub-groups first. Idempotent.
  virtual Result<void> destroy() = 0;
  // What a guest's /sys/fs/cgroup is made of.
  struct MountPart {
    // Its place below the guest's /sys/fs/cgroup: "" where the v2 tree is all there is, else
    // "memory", "cpu,cpuacct", "unified".
    std::string name;
    std::string host_dir;  // this container's directory in that hierarchy
    std::string options;   // mount options of a fresh mount ("memory", "none,name=systemd")
    bool v2 = true;
  };
  virtual std::vector<MountPart> mount_parts() const = 0;
};

// The devices every container may use whatever its config says (runc's list): the launcher appends
// them to linux.resources.devices before set_devices().
std::vector<oci::DeviceRule> default_devices();

struct Request {
  std::string cgroups_path;  // linux.cgroupsPath as in the config, may be empty
  ContainerId id;
  bool systemd = false;  // --systemd-cgroup: cgroups_path is "slice:prefix:name"
  bool rootless = false;
  std::map<std::string, std::string> annotations;  // org.systemd.property.*
  const oci::Resources* resources = nullptr;       // systemd scopes want limits at creation
  // cgroups_path counts from this group in every hierarchy, wherever our own group is.
  const Location* below = nullptr;
};

// Chooses the back-end by looking at the host.
Result<std::unique_ptr<Group>> plan(const Request& request, const Host& host);
// The group of an existing container.
Result<std::unique_ptr<Group>> open(const Location& location, const Host& host);

// Whether many groups are frozen, by three system calls a group: the host is looked at once.
class FrozenLook {
 public:
  // The host must outlive it. Where there are no cgroups, nothing is frozen.
  explicit FrozenLook(const Host& host);
  // For any number of threads at once.
  Result<bool> is_frozen(const Location& location) const;

 private:
  const Host& host_;
  Layout layout_;
  Fd v2_;  // its mount; empty where there is no v2 tree
};

// The cgroups path of a guest of vrun's own (`vrun run`): below the tenant's group, which is the
// parent of all its guests. Absolute where the whole host is one tree, else relative to our own
// group, the only place where every hierarchy lets us make groups.
std::string guest_path(const std::string& tenant, const std::string& name, const Host& host);

// The group that is the parent of all of them, in the same way.
std::string tenant_path(const std::string& tenant, const Host& host);

// The group of a sub-path of a container's group (exec --cgroup): open() it.
Location sub_group(const Location& location, std::string_view sub_path);
// The group that a process is in. For exec into a container whose own group has become an inner
// node (its init made sub-groups), where cgroup v2 lets nobody in (EBUSY): exec joins init then.
Result<std::unique_ptr<Group>> group_of(Pid pid, const Host& host);

// What `features` says about this host.
struct Support {
  bool v1 = false, v2 = false, systemd = false, systemd_user = false, rdma = false;
};
Support support(const Host& host);

}  // namespace vrun::cgroups
