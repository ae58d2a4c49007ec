#include "oci/checker.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "oci/reader.hpp"

namespace vrun::oci {
namespace {

// uname(2): what sethostname and setdomainname take.
constexpr std::size_t kMaxHostname = 64;

void check_uts_name(const std::string& name, const std::string& at, bool has_uts,
                    json::Faults& faults) {
  if (name.empty()) return;
  if (!has_uts) faults.add(at, "needs a uts namespace, or it would rename the host");
  if (name.size() > kMaxHostname) faults.add(at, "is longer than 64 bytes");
}

void check_hooks(const std::vector<Hook>& hooks, const std::string& at, json::Faults& faults) {
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    check_absolute(hooks[i].path, element(at, i) + ".path", faults);
  }
}

void check_all_hooks(const Hooks& hooks, json::Faults& faults) {
  check_hooks(hooks.prestart, "hooks.prestart", faults);
  check_hooks(hooks.create_runtime, "hooks.createRuntime", faults);
  check_hooks(hooks.create_container, "hooks.createContainer", faults);
  check_hooks(hooks.start_container, "hooks.startContainer", faults);
  check_hooks(hooks.poststart, "hooks.poststart", faults);
  check_hooks(hooks.poststop, "hooks.poststop", faults);
}

void check_mounts(const Spec& spec, bool has_mount_namespace, json::Faults& faults) {
  if (!spec.mounts.empty() && !has_mount_namespace) {
    faults.add("mounts", "need a mount namespace, or they would be the host's");
  }
  for (std::size_t i = 0; i < spec.mounts.size(); ++i) {
    const Mount& mount = spec.mounts[i];
    const std::string at = element("mounts", i);
    if (mount.uid_mappings.empty() != mount.gid_mappings.empty()) {
      faults.add(at, "must have both uidMappings and gidMappings, or none");
    }
    check_id_mappings(mount.uid_mappings, at + ".uidMappings", faults);
    check_id_mappings(mount.gid_mappings, at + ".gidMappings", faults);
  }
}

void check_paths(const std::vector<std::string>& paths, const std::string& at,
                 bool has_mount_namespace, json::Faults& faults) {
  if (!paths.empty() && !has_mount_namespace) faults.add(at, "needs a mount namespace");
  for (std::size_t i = 0; i < paths.size(); ++i)
    check_absolute(paths[i], element(at, i), faults);
}

void check_cgroups_path(const std::string& path, json::Faults& faults) {
  for (const std::string_view part : split(path, '/')) {
    if (part == "..") return faults.add("linux.cgroupsPath", quote(path) + " has a '..'");
  }
}

void check_devices(const std::vector<Device>& devices, json::Faults& faults) {
  for (std::size_t i = 0; i < devices.size(); ++i) {
    check_absolute(devices[i].path, element("linux.devices", i) + ".path", faults);
  }
}

// Who listens is needed by SCMP_ACT_NOTIFY only, and by it always (seccomp_unotify(2)).
void check_seccomp(const Seccomp& seccomp, json::Faults& faults) {
  const auto notifies = [](const SyscallRule& rule) { return rule.action == "SCMP_ACT_NOTIFY"; };
  const bool notify = seccomp.default_action == "SCMP_ACT_NOTIFY" ||
                      std::any_of(seccomp.syscalls.begin(), seccomp.syscalls.end(), notifies);
  if (notify && seccomp.listener_path.empty()) {
    faults.add("linux.seccomp.listenerPath", "is missing, but an action is SCMP_ACT_NOTIFY");
  }
  if (!seccomp.listener_metadata.empty() && seccomp.listener_path.empty()) {
    faults.add("linux.seccomp.listenerMetadata", "is there without listenerPath");
  }
  if (!seccomp.listener_path.empty()) {
    check_absolute(seccomp.listener_path, "linux.seccomp.listenerPath", faults);
  }
}

void check_linux(const Spec& spec, bool has_mount_namespace, json::Faults& faults) {
  const Linux& linux = spec.linux;
  check_namespaces(spec, faults);
  check_sysctl(spec, faults);
  if (linux.resources) check_resources(*linux.resources, "linux.resources.", faults);
  check_cgroups_path(linux.cgroups_path, faults);
  check_devices(linux.devices, faults);
  check_net_devices(linux, faults);
  if (linux.seccomp) check_seccomp(*linux.seccomp, faults);
  check_paths(linux.masked_paths, "linux.maskedPaths", has_mount_namespace, faults);
  check_paths(linux.readonly_paths, "linux.readonlyPaths", has_mount_namespace, faults);
  if (linux.intel_rdt) check_intel_rdt(*linux.intel_rdt, faults);
  if (linux.memory_policy) check_memory_policy(*linux.memory_policy, faults);
  if (linux.personality && !linux.personality->flags.empty()) {
    faults.add("linux.personality.flags", "must be empty: the specification defines no flag");
  }
}

}  // namespace

std::string element(const std::string& at, std::size_t index) {
  return at + "[" + std::to_string(index) + "]";
}

void check_absolute(const std::string& path, const std::string& at, json::Faults& faults) {
  if (!path.starts_with('/')) faults.add(at, quote(path) + " is not an absolute path");
}

bool is_number_list(std::string_view text) {
  for (const std::string_view part : split(text, ',')) {
    const std::vector<std::string_view> ends = split(trim(part), '-');
    if (ends.size() > 2) return false;
    const auto first = parse_u64(ends.front());
    const auto last = parse_u64(ends.back());
    if (!first || !last || *first > *last) return false;
  }
  return true;
}

Result<void> check(const Spec& spec, std::string_view name) {
  json::Faults faults(name);
  const bool has_uts = find_namespace(spec.linux, NamespaceType::kUts) != nullptr;
  const bool has_mount = find_namespace(spec.linux, NamespaceType::kMount) != nullptr;
  if (spec.process) check_process(*spec.process, "process.", faults);
  check_uts_name(spec.hostname, "hostname", has_uts, faults);
  check_uts_name(spec.domainname, "domainname", has_uts, faults);
  check_mounts(spec, has_mount, faults);
  check_all_hooks(spec.hooks, faults);
  if (spec.annotations.contains("")) faults.add("annotations", "have an empty name");
  check_linux(spec, has_mount, faults);
  return faults.result();
}

Result<void> check(const Process& process, std::string_view name) {
  json::Faults faults(name);
  check_process(process, "", faults);
  return faults.result();
}

Result<void> check(const Resources& resources, std::string_view name) {
  json::Faults faults(name);
  check_resources(resources, "", faults);
  return faults.result();
}

}  // namespace vrun::oci
