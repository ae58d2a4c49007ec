#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/documents.hpp"
#include "oci/reader.hpp"
#include "oci/sysctl.hpp"
#include "tests/unit/oci/sample.hpp"

namespace vrun::oci {
namespace {

using ::testing::HasSubstr;

class Checker : public ::testing::Test {
 protected:
  std::string fault() const {
    const auto result = check(spec);
    if (result) return "accepted";
    EXPECT_EQ(result.error().code(), Code::kInvalid);
    const std::string name = "config.json: ";
    const std::string text = result.error().text();
    return text.starts_with(name) ? text.substr(name.size()) : text;
  }
  void remove_namespace(NamespaceType type) {
    std::erase_if(spec.linux.namespaces, [=](const Namespace& ns) { return ns.type == type; });
  }
  void add_namespace(NamespaceType type, std::string path = {}) {
    spec.linux.namespaces.push_back({.type = type, .path = std::move(path)});
  }
  void add_user_namespace(std::uint32_t size) {
    add_namespace(NamespaceType::kUser);
    spec.linux.uid_mappings = {{.container_id = 0, .host_id = 1000, .size = size}};
    spec.linux.gid_mappings = {{.container_id = 0, .host_id = 2000, .size = size}};
  }
  Spec spec = default_spec();
};

TEST_F(Checker, accepts_the_default_spec) {
  EXPECT_EQ(fault(), "accepted");
}

TEST_F(Checker, accepts_an_absent_process) {
  spec.process.reset();
  EXPECT_EQ(fault(), "accepted");
}

TEST_F(Checker, reports_all_faults_at_once) {
  spec.process->args.clear();
  spec.process->cwd = "home";
  spec.hooks.poststop = {{.path = "rel", .args = {}, .env = {}, .timeout = {}}};
  EXPECT_EQ(fault(),
            "3 faults\n  process.args: is empty: there is nothing to execute\n"
            "  process.cwd: 'home' is not an absolute path\n"
            "  hooks.poststop[0].path: 'rel' is not an absolute path");
}

TEST_F(Checker, finds_what_is_wrong_with_the_full_config) {
  const auto full = parse_spec(test::full_config(), "config.json");
  ASSERT_TRUE(full) << full.error().text();
  spec = *full;
  EXPECT_EQ(fault(),
            "4 faults\n"
            "  process.scheduler.priority: is for SCHED_FIFO and SCHED_RR only\n"
            "  process.scheduler.nice: is for SCHED_OTHER, SCHED_BATCH and SCHED_IDLE only\n"
            "  process.user.additionalGids[1]: 4294967294 is not mapped by linux.gidMappings\n"
            "  linux.personality.flags: must be empty: the specification defines no flag");
}

// ---- process ----

TEST_F(Checker, rlimits) {
  spec.process->rlimits = {{.type = "RLIMIT_CORE", .soft = 2, .hard = 1},
                           {.type = "RLIMIT_CORE", .soft = 0, .hard = 0}};
  EXPECT_EQ(fault(),
            "2 faults\n  process.rlimits[0].soft: 2 is above the hard limit 1\n"
            "  process.rlimits[1].type: RLIMIT_CORE is there twice");
}

TEST_F(Checker, scheduler_of_a_fixed_priority) {
  spec.process->scheduler = Scheduler{.policy = "SCHED_FIFO", .priority = 10, .flags = {}};
  EXPECT_EQ(fault(), "accepted");
  spec.process->scheduler->priority = 0;
  EXPECT_EQ(fault(), "process.scheduler.priority: must be 1 to 99 for SCHED_FIFO");
  spec.process->scheduler->priority = 1;
  spec.process->scheduler->nice = 1;
  EXPECT_EQ(fault(), "process.scheduler.nice: is for SCHED_OTHER, SCHED_BATCH and SCHED_IDLE only");
}

TEST_F(Checker, scheduler_of_a_shared_priority) {
  spec.process->scheduler = Scheduler{.policy = "SCHED_BATCH", .nice = 5, .flags = {}};
  EXPECT_EQ(fault(), "accepted");
  spec.process->scheduler->priority = 3;
  spec.process->scheduler->runtime = 1;
  spec.process->scheduler->deadline = 1;
  spec.process->scheduler->period = 1;
  EXPECT_EQ(fault(),
            "4 faults\n  process.scheduler.priority: is for SCHED_FIFO and SCHED_RR only\n"
            "  process.scheduler.runtime: is for SCHED_DEADLINE only\n"
            "  process.scheduler.deadline: is for SCHED_DEADLINE only\n"
            "  process.scheduler.period: is for SCHED_DEADLINE only");
}

TEST_F(Checker, scheduler_with_a_deadline) {
  spec.process->scheduler =
      Scheduler{.policy = "SCHED_DEADLINE", .flags = {}, .runtime = 1, .deadline = 2, .period = 3};
  EXPECT_EQ(fault(), "accepted");
  spec.process->scheduler->period = 0;
  EXPECT_EQ(fault(), "accepted");
  spec.process->scheduler->period = 1;
  spec.process->scheduler->runtime = 3;
  EXPECT_EQ(fault(),
            "2 faults\n  process.scheduler.runtime: is above the deadline\n"
            "  process.scheduler.deadline: is above the period");
  spec.process->scheduler->policy = "SCHED_ISO";
  EXPECT_THAT(fault(), HasSubstr("SCHED_ISO is reserved"));
}

TEST_F(Checker, processor_lists) {
  for (const std::string good : {"", "0", "0-3,7", "5-5", "0-1, 3"}) {
    spec.process->exec_cpu_affinity = CpuAffinity{.initial = good, .final = good};
    EXPECT_EQ(fault(), "accepted") << good;
  }
  for (const std::string bad : {"a", "3-1", "0-", "-1", "0,,1", "0-1-2", ","}) {
    spec.process->exec_cpu_affinity = CpuAffinity{.initial = "", .final = bad};
    EXPECT_EQ(fault(), "process.execCPUAffinity.final: '" + bad +
                           "' is not a list of processors like 0-3,8");
  }
}

TEST_F(Checker, a_process_document_on_its_own) {
  Process process;
  process.cwd = "x";
  const auto result = check(process, "process.json");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().text(),
            "process.json: 2 faults\n  args: is empty: there is nothing to execute\n"
            "  cwd: 'x' is not an absolute path");
}

// ---- namespaces and ids ----

TEST_F(Checker, a_namespace_twice) {
  add_namespace(NamespaceType::kPid, "/proc/1/ns/pid");
  EXPECT_EQ(fault(), "linux.namespaces[5]: is a second pid namespace");
}

TEST_F(Checker, a_relative_namespace_path) {
  add_namespace(NamespaceType::kCgroup, "ns/cgroup");
  EXPECT_EQ(fault(), "linux.namespaces[5].path: 'ns/cgroup' is not an absolute path");
}

TEST_F(Checker, mappings_without_a_user_namespace) {
  add_user_namespace(10);
  EXPECT_EQ(fault(), "accepted");
  remove_namespace(NamespaceType::kUser);
  EXPECT_EQ(fault(),
            "2 faults\n  linux.uidMappings: need a user namespace\n"
            "  linux.gidMappings: need a user namespace");
}

TEST_F(Checker, a_new_user_namespace_without_mappings) {
  add_namespace(NamespaceType::kUser);
  EXPECT_EQ(fault(),
            "2 faults\n  linux.uidMappings: is empty for a new user namespace\n"
            "  linux.gidMappings: is empty for a new user namespace");
  spec.linux.namespaces.back().path = "/proc/1/ns/user";
  EXPECT_EQ(fault(), "accepted");
}

TEST_F(Checker, overlapping_mappings) {
  add_user_namespace(10);
  spec.linux.uid_mappings.push_back({.container_id = 9, .host_id = 5000, .size = 1});
  EXPECT_EQ(fault(), "linux.uidMappings[1]: overlaps entry 0 in containerID");
  spec.linux.uid_mappings[1] = {.container_id = 10, .host_id = 1009, .size = 1};
  EXPECT_EQ(fault(), "linux.uidMappings[1]: overlaps entry 0 in hostID");
  spec.linux.uid_mappings[1] = {.container_id = 10, .host_id = 1010, .size = 1};
  EXPECT_EQ(fault(), "accepted");
  spec.linux.uid_mappings[1] = {.container_id = 4294967294U, .host_id = 4294967294U, .size = 1};
  EXPECT_EQ(fault(), "accepted");
}

TEST_F(Checker, more_mappings_than_the_kernel_takes) {
  add_user_namespace(1);
  for (std::uint32_t i = 1; i < 341; ++i) {
    spec.linux.uid_mappings.push_back({.container_id = i, .host_id = 1000 + i, .size = 1});
  }
  EXPECT_EQ(fault(), "linux.uidMappings: has 341 entries, the kernel takes 340");
  spec.linux.uid_mappings.pop_back();
  EXPECT_EQ(fault(), "accepted");
}

TEST_F(Checker, a_user_that_is_not_mapped) {
  add_user_namespace(10);
  spec.process->user = {.uid = Uid(10), .gid = Gid(11), .umask = {}, .additional_gids = {Gid(12)}};
  EXPECT_EQ(fault(),
            "3 faults\n  process.user.uid: 10 is not mapped by linux.uidMappings\n"
            "  process.user.gid: 11 is not mapped by linux.gidMappings\n"
            "  process.user.additionalGids[0]: 12 is not mapped by linux.gidMappings");
  spec.process->user = {.uid = Uid(9), .gid = Gid(0), .umask = {}, .additional_gids = {Gid(9)}};
  EXPECT_EQ(fault(), "accepted");
}

TEST_F(Checker, time_offsets) {
  spec.linux.time_offsets = {{.clock = "boottime", .secs = 1, .nanosecs = 0}};
  EXPECT_EQ(fault(), "linux.timeOffsets: need a time namespace");
  add_namespace(NamespaceType::kTime);
  EXPECT_EQ(fault(), "accepted");
  spec.linux.namespaces.back().path = "/proc/1/ns/time";
  EXPECT_EQ(fault(), "linux.timeOffsets: need a new time namespace, not one by path");
}

TEST_F(Checker, names_of_the_host) {
  spec.domainname = std::string(65, 'x');
  EXPECT_EQ(fault(), "domainname: is longer than 64 bytes");
  spec.domainname = std::string(64, 'x');
  EXPECT_EQ(fault(), "accepted");
  remove_namespace(NamespaceType::kUts);
  EXPECT_EQ(fault(),
            "2 faults\n  hostname: needs a uts namespace, or it would rename the host\n"
            "  domainname: needs a uts namespace, or it would rename the host");
}

TEST_F(Checker, what_needs_a_mount_namespace) {
  remove_namespace(NamespaceType::kMount);
  EXPECT_EQ(fault(),
            "3 faults\n  mounts: need a mount namespace, or they would be the host's\n"
            "  linux.maskedPaths: needs a mount namespace\n"
            "  linux.readonlyPaths: needs a mount namespace");
}

TEST_F(Checker, paths_inside_are_absolute) {
  spec.linux.masked_paths = {"/a", "b"};
  spec.linux.readonly_paths = {""};
  spec.linux.devices = {{.type = 'c', .path = "dev/x", .file_mode = {}, .uid = {}, .gid = {}}};
  EXPECT_EQ(fault(),
            "3 faults\n  linux.devices[0].path: 'dev/x' is not an absolute path\n"
            "  linux.maskedPaths[1]: 'b' is not an absolute path\n"
            "  linux.readonlyPaths[0]: '' is not an absolute path");
}

TEST_F(Checker, mappings_of_a_mount) {
  spec.mounts[0].uid_mappings = {{.container_id = 0, .host_id = 1, .size = 2},
                                 {.container_id = 1, .host_id = 9, .size = 2}};
  EXPECT_EQ(fault(),
            "2 faults\n  mounts[0]: must have both uidMappings and gidMappings, or none\n"
            "  mounts[0].uidMappings[1]: overlaps entry 0 in containerID");
}

// ---- kernel parameters ----

TEST(Sysctl, names_become_paths) {
  EXPECT_EQ(sysctl_path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
  EXPECT_EQ(sysctl_path("net/ipv4/conf/eth0.1/mtu"), "net/ipv4/conf/eth0.1/mtu");
  EXPECT_EQ(sysctl_path("net.ipv4.conf.eth0/1.mtu"), "net/ipv4/conf/eth0.1/mtu");
  for (const std::string bad : {"", ".", "net..x", "net/../kernel/panic", "/net/ipv4", "net.",
                                "net.//.kernel.panic", "../x"}) {
    EXPECT_EQ(sysctl_path(bad), "") << bad;
  }
}

TEST_F(Checker, kernel_parameters_need_their_namespace) {
  spec.linux.sysctl = {{"net.ipv4.ip_forward", "1"}, {"kernel.shmmax", "1"},
                       {"fs.mqueue.msg_max", "1"},   {"kernel.msgmax", "1"},
                       {"kernel.sem", "1 2 3 4"},    {"kernel.domainname", "d"}};
  EXPECT_EQ(fault(), "accepted");
  for (const NamespaceType type : {NamespaceType::kNetwork, NamespaceType::kIpc}) {
    remove_namespace(type);
  }
  EXPECT_EQ(fault(),
            "5 faults\n  linux.sysctl['net.ipv4.ip_forward']: needs a network namespace\n"
            "  linux.sysctl['kernel.shmmax']: needs an ipc namespace\n"
            "  linux.sysctl['fs.mqueue.msg_max']: needs an ipc namespace\n"
            "  linux.sysctl['kernel.msgmax']: needs an ipc namespace\n"
            "  linux.sysctl['kernel.sem']: needs an ipc namespace");
}

TEST_F(Checker, kernel_parameters_of_the_host_are_refused) {
  for (const std::string name : {"kernel.panic", "vm.swappiness", "fs.file-max", "kernel.shm",
                                 "fs.mqueuex", "netx.y", "kernel.core_pattern"}) {
    spec.linux.sysctl = {{name, "1"}};
    EXPECT_EQ(fault(),
              "linux.sysctl['" + name + "']: belongs to the whole host, not to a namespace");
  }
  spec.linux.sysctl = {{"net.ipv4./.x", "1"}, {"user.max_user_namespaces", "1"}};
  EXPECT_EQ(fault(),
            "2 faults\n  linux.sysctl['net.ipv4./.x']: is not the name of a kernel parameter\n"
            "  linux.sysctl['user.max_user_namespaces']: needs a user namespace");
}

TEST_F(Checker, kernel_parameters_with_a_field_of_their_own) {
  spec.linux.sysctl = {{"kernel.hostname", "x"}};
  EXPECT_EQ(fault(),
            "linux.sysctl['kernel.hostname']: conflicts with the field hostname; set that");
  spec.linux.sysctl = {{"kernel.domainname", "x"}};
  spec.domainname = "y";
  EXPECT_EQ(fault(), "linux.sysctl['kernel.domainname']: conflicts with the field domainname");
}

// ---- the rest of linux ----

TEST_F(Checker, network_devices) {
  spec.linux.net_devices = {{.host_name = "eth0", .name = "a/b"},
                            {.host_name = "0123456789abcdef", .name = "x"},
                            {.host_name = "eth1", .name = "x"},
                            {.host_name = "eth2", .name = "wan%s"}};
  EXPECT_EQ(fault(),
            "4 faults\n  linux.netDevices['eth0'].name: 'a/b' is not an interface name\n"
            "  linux.netDevices['0123456789abcdef']: is not an interface name\n"
            "  linux.netDevices['eth1']: 'x' is the name of two devices\n"
            "  linux.netDevices['eth2'].name: 'wan%s' is not an interface name");
  spec.linux.net_devices = {{.host_name = "eth0", .name = "wan%d"},
                            {.host_name = "eth1", .name = "wan%d"},
                            {.host_name = "eth2", .name = ""}};
  EXPECT_EQ(fault(), "accepted");
  remove_namespace(NamespaceType::kNetwork);
  EXPECT_EQ(fault(), "linux.netDevices: need a network namespace");
}

TEST_F(Checker, cgroups_path) {
  for (const std::string good : {"", "/a/b", "a", "system.slice:vrun:web", "/a..b"}) {
    spec.linux.cgroups_path = good;
    EXPECT_EQ(fault(), "accepted") << good;
  }
  for (const std::string bad : {"..", "/a/../b", "a/.."}) {
    spec.linux.cgroups_path = bad;
    EXPECT_EQ(fault(), "linux.cgroupsPath: '" + bad + "' has a '..'");
  }
}

TEST_F(Checker, resources) {
  DeviceRule rule;
  rule.access = "rx";
  spec.linux.resources->devices = {rule};
  spec.linux.resources->unified = {{"memory.high", "max"}, {"a/b", "1"}, {"..", "1"}, {"", "1"}};
  EXPECT_EQ(fault(),
            "4 faults\n  linux.resources.devices[0].access: 'rx' has letters other than r, w, m\n"
            "  linux.resources.unified['a/b']: is not the name of a cgroup file\n"
            "  linux.resources.unified['..']: is not the name of a cgroup file\n"
            "  linux.resources.unified['']: is not the name of a cgroup file");
  const auto alone = check(*spec.linux.resources, "resources");
  ASSERT_FALSE(alone);
  EXPECT_THAT(alone.error().text(), HasSubstr("\n  devices[0].access: 'rx'"));
}

TEST_F(Checker, memory_policy) {
  const auto policy = [&](std::string mode, std::string nodes, std::vector<std::string> flags) {
    spec.linux.memory_policy =
        MemoryPolicy{.mode = std::move(mode), .nodes = std::move(nodes), .flags = std::move(flags)};
    return fault();
  };
  EXPECT_EQ(policy("MPOL_BIND", "0-1,3", {"MPOL_F_NUMA_BALANCING"}), "accepted");
  EXPECT_EQ(policy("MPOL_LOCAL", "", {}), "accepted");
  EXPECT_EQ(policy("MPOL_PREFERRED", "", {}), "accepted");
  EXPECT_EQ(policy("MPOL_DEFAULT", "0", {}),
            "linux.memoryPolicy.nodes: must be empty for MPOL_DEFAULT");
  EXPECT_EQ(policy("MPOL_INTERLEAVE", "", {}),
            "linux.memoryPolicy.nodes: is missing for MPOL_INTERLEAVE");
  EXPECT_EQ(policy("MPOL_BIND", "all", {}),
            "linux.memoryPolicy.nodes: 'all' is not a list of nodes like 0-3,7");
  EXPECT_EQ(policy("MPOL_BIND", "0", {"MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"}),
            "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each "
            "other");
  EXPECT_EQ(policy("MPOL_INTERLEAVE", "0", {"MPOL_F_NUMA_BALANCING"}),
            "linux.memoryPolicy.flags: MPOL_F_NUMA_BALANCING is for MPOL_BIND and "
            "MPOL_PREFERRED_MANY only");
}

TEST_F(Checker, intel_rdt) {
  for (const std::string bad : {"..", "a/b", "a\nb"}) {
    spec.linux.intel_rdt.emplace().clos_id = bad;
    EXPECT_THAT(fault(), HasSubstr("is not the name of a folder"));
  }
  spec.linux.intel_rdt.emplace().clos_id = "guaranteed";
  spec.linux.intel_rdt->schemata = {"L3:0=f", "MB:0=1\nL3:0=1"};
  EXPECT_EQ(fault(), "linux.intelRdt.schemata[1]: has more than one line");
}

TEST_F(Checker, seccomp_listeners) {
  Seccomp& seccomp = spec.linux.seccomp.emplace();
  seccomp.default_action = "SCMP_ACT_ALLOW";
  seccomp.listener_metadata = "m";
  seccomp.syscalls = {
      {.names = {"mkdir"}, .action = "SCMP_ACT_NOTIFY", .errno_ret = {}, .args = {}}};
  EXPECT_EQ(fault(),
            "2 faults\n"
            "  linux.seccomp.listenerPath: is missing, but an action is SCMP_ACT_NOTIFY\n"
            "  linux.seccomp.listenerMetadata: is there without listenerPath");
  seccomp.listener_path = "rel.sock";
  EXPECT_EQ(fault(), "linux.seccomp.listenerPath: 'rel.sock' is not an absolute path");
  seccomp.listener_path = "/run/a.sock";
  EXPECT_EQ(fault(), "accepted");
}

TEST_F(Checker, annotations) {
  spec.annotations = {{"", "x"}};
  EXPECT_EQ(fault(), "annotations: have an empty name");
}

}  // namespace
}  // namespace vrun::oci
