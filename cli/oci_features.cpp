// `features`: the document of runtime-spec, filled with what this build does on this kernel.
#include <array>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/text.hpp"
#include "cgroups/group.hpp"
#include "cli/oci.hpp"
#include "cli/oci_json.hpp"
#include "process/plan.hpp"
#include "rootfs/plan.hpp"
#include "seccomp/seccomp.hpp"

namespace vrun::cli {
namespace {

using json::Writer;

template <typename Names>
void write_names(Writer& out, std::string_view key, const Names& names) {
  out.key(key).begin_array();
  for (const std::string_view name : names)
    out.value(name);
  out.end_array();
}

void write_enabled(Writer& out, std::string_view key, bool enabled) {
  out.key(key).begin_object().member("enabled", enabled).end_object();
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

// A security module counts when the kernel was booted with it, not when it is merely compiled in.
bool is_lsm_active(const Host& host, std::string_view name) {
  const auto list = fs::read_file(At::cwd(), "/sys/kernel/security/lsm", 4096);
  if (list) {
    for (const std::string_view lsm : split(trim(*list), ',')) {
      if (lsm == name) return true;
    }
    return false;
  }
  // securityfs is often not mounted; each module also shows itself elsewhere.
  if (name == "selinux") return exists("/sys/fs/selinux/enforce");
  const auto enabled = fs::read_file(At::cwd(), "/sys/module/apparmor/parameters/enabled", 16);
  return name == "apparmor" && enabled && enabled->starts_with('Y') &&
         exists(host.proc + "/self/attr/apparmor");
}

struct NamespaceName {
  const char* oci;
  const char* proc;
};

void write_namespaces(Writer& out, const Host& host) {
  constexpr std::array<NamespaceName, 8> kNamespaces{{{"cgroup", "cgroup"},
                                                      {"ipc", "ipc"},
                                                      {"mount", "mnt"},
                                                      {"network", "net"},
                                                      {"pid", "pid"},
                                                      {"time", "time"},
                                                      {"user", "user"},
                                                      {"uts", "uts"}}};
  std::vector<std::string> names;
  for (const NamespaceName& ns : kNamespaces) {
    if (exists(host.proc + "/self/ns/" + ns.proc)) names.emplace_back(ns.oci);
  }
  write_names(out, "namespaces", names);
}

void write_cgroup(Writer& out, const Host& host) {
  const cgroups::Support support = cgroups::support(host);
  out.key("cgroup")
      .begin_object()
      .member("v1", support.v1)
      .member("v2", support.v2)
      .member("systemd", support.systemd)
      .member("systemdUser", support.systemd_user)
      .member("rdma", support.rdma)
      .end_object();
}

void write_seccomp(Writer& out) {
  const seccomp::Support support = seccomp::support();
  out.key("seccomp").begin_object().member("enabled", true);
  write_names(out, "actions", support.actions);
  write_names(out, "operators", support.operators);
  write_names(out, "archs", support.archs);
  write_names(out, "knownFlags", support.known_flags);
  write_names(out, "supportedFlags", support.supported_flags);
  out.end_object();
}

void write_memory_policy(Writer& out) {
  constexpr std::array<std::string_view, 7> kModes{"MPOL_DEFAULT",
                                                   "MPOL_PREFERRED",
                                                   "MPOL_BIND",
                                                   "MPOL_INTERLEAVE",
                                                   "MPOL_LOCAL",
                                                   "MPOL_PREFERRED_MANY",
                                                   "MPOL_WEIGHTED_INTERLEAVE"};
  constexpr std::array<std::string_view, 3> kFlags{"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES",
                                                   "MPOL_F_STATIC_NODES"};
  out.key("memoryPolicy").begin_object();
  write_names(out, "modes", kModes);
  write_names(out, "flags", kFlags);
  out.end_object();
}

void write_intel_rdt(Writer& out) {
  const bool mounted = exists("/sys/fs/resctrl/schemata");
  out.key("intelRdt")
      .begin_object()
      .member("enabled", mounted)
      .member("schemata", mounted)
      .member("monitoring", exists("/sys/fs/resctrl/mon_groups"))
      .end_object();
}

void write_linux(Writer& out, const Host& host) {
  out.key("linux").begin_object();
  write_namespaces(out, host);
  write_names(out, "capabilities", process::capability_names());
  write_cgroup(out, host);
  write_seccomp(out);
  write_enabled(out, "apparmor", is_lsm_active(host, "apparmor"));
  write_enabled(out, "selinux", is_lsm_active(host, "selinux"));
  write_intel_rdt(out);
  write_memory_policy(out);
  out.key("mountExtensions").begin_object();
  write_enabled(out, "idmap", true);  // kernel 5.12; 6.1 is the least that vrun runs on
  out.end_object();
  write_enabled(out, "netDevices", true);
  out.end_object();
}

}  // namespace

std::string features_json(const Host& host) {
  constexpr std::array<std::string_view, 6> kHooks{
      "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"};
  Writer out(json::Style::kSpaces);
  out.begin_object().member("ociVersionMin", "1.0.0").member("ociVersionMax", "1.3.0");
  write_names(out, "hooks", kHooks);
  write_names(out, "mountOptions", rootfs::mount_options());
  write_linux(out, host);
  out.key("annotations").begin_object().member("io.vrun.version", VRUN_VERSION).end_object();
  write_names(out, "potentiallyUnsafeConfigAnnotations",
              std::array<std::string_view, 1>{"org.systemd.property."});
  out.end_object();
  return out.take() + '\n';
}

Result<int> oci_features(const OciCall& call) {
  return print(features_json(call.context.host));
}

}  // namespace vrun::cli
