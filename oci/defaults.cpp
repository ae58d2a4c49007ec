// What `spec` prints: equal to runc's, member for member, but for ociVersion.

#include <algorithm>

#include "oci/documents.hpp"

namespace vrun::oci {
namespace {

Mount mount(std::string destination, std::string type, std::string source,
            std::vector<std::string> options = {}) {
  return {.destination = std::move(destination),
          .type = std::move(type),
          .source = std::move(source),
          .options = std::move(options),
          .uid_mappings = {},
          .gid_mappings = {}};
}

std::vector<Mount> default_mounts() {
  return {
      mount("/proc", "proc", "proc"),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}),
  };
}

Process default_process() {
  const std::vector<std::string> allowed = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  Process process;
  process.terminal = true;
  process.args = {"sh"};
  process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"};
  process.cwd = "/";
  process.capabilities = Capabilities{.bounding = allowed,
                                      .effective = allowed,
                                      .inheritable = {},
                                      .permitted = allowed,
                                      .ambient = allowed};
  process.rlimits = {{.type = "RLIMIT_NOFILE", .soft = 1024, .hard = 1024}};
  process.no_new_privileges = true;
  return process;
}

Linux default_linux() {
  Linux linux;
  DeviceRule deny_all;
  deny_all.access = "rwm";
  linux.resources.emplace().devices = {deny_all};
  for (const NamespaceType type :
       {NamespaceType::kPid, NamespaceType::kNetwork, NamespaceType::kIpc, NamespaceType::kUts,
        NamespaceType::kMount}) {
    linux.namespaces.push_back({.type = type, .path = {}});
  }
  linux.masked_paths = {"/proc/acpi",        "/proc/asound",        "/proc/kcore",
                        "/proc/keys",        "/proc/latency_stats", "/proc/timer_list",
                        "/proc/timer_stats", "/proc/sched_debug",   "/sys/firmware",
                        "/proc/scsi"};
  linux.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  return linux;
}

// Without CAP_SYS_ADMIN over the network namespace a fresh sysfs is refused, so the host's is
// bound; gid 5 of devpts has no mapping.
void make_mounts_rootless(std::vector<Mount>& mounts) {
  for (Mount& entry : mounts) {
    if (entry.destination == "/sys") {
      entry = mount("/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"});
    }
    std::erase_if(entry.options, [](const std::string& option) {
      return option.starts_with("uid=") || option.starts_with("gid=");
    });
  }
}

}  // namespace

Spec default_spec(SpecChoice choice) {
  Spec spec;
  spec.oci_version = kOciVersion;
  spec.process = default_process();
  spec.root = {.path = "rootfs", .readonly = true};
  spec.hostname = "runc";
  spec.mounts = default_mounts();
  spec.linux = default_linux();
  if (choice.cgroup_namespace) {
    spec.linux.namespaces.push_back({.type = NamespaceType::kCgroup, .path = {}});
  }
  return spec;
}

Spec rootless_spec(Uid uid, Gid gid, SpecChoice choice) {
  Spec spec = default_spec(choice);
  std::erase_if(spec.linux.namespaces,
                [](const Namespace& ns) { return ns.type == NamespaceType::kNetwork; });
  spec.linux.namespaces.push_back({.type = NamespaceType::kUser, .path = {}});
  spec.linux.uid_mappings = {{.container_id = 0, .host_id = uid.value, .size = 1}};
  spec.linux.gid_mappings = {{.container_id = 0, .host_id = gid.value, .size = 1}};
  make_mounts_rootless(spec.mounts);
  spec.linux.resources.reset();
  return spec;
}

}  // namespace vrun::oci
