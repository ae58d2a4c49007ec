#include "oci/features.hpp"

#include <span>

#include "base/json_table.hpp"
#include "oci/table_linux.hpp"

namespace vrun::oci {
namespace {

std::vector<std::string> to_list(std::span<const std::string_view> names) {
  return {names.begin(), names.end()};
}

}  // namespace

constexpr auto json_fields(const CgroupFeatures*) {
  return json::fields(json::field("v1", &CgroupFeatures::v1, {.always = true}),
                      json::field("v2", &CgroupFeatures::v2, {.always = true}),
                      json::field("systemd", &CgroupFeatures::systemd, {.always = true}),
                      json::field("systemdUser", &CgroupFeatures::systemd_user, {.always = true}),
                      json::field("rdma", &CgroupFeatures::rdma, {.always = true}));
}

constexpr auto json_fields(const SeccompFeatures*) {
  return json::fields(json::field("enabled", &SeccompFeatures::enabled, {.always = true}),
                      json::field("actions", &SeccompFeatures::actions),
                      json::field("operators", &SeccompFeatures::operators),
                      json::field("archs", &SeccompFeatures::archs),
                      json::field("knownFlags", &SeccompFeatures::known_flags),
                      json::field("supportedFlags", &SeccompFeatures::supported_flags));
}

constexpr auto json_fields(const IntelRdtFeatures*) {
  return json::fields(json::field("enabled", &IntelRdtFeatures::enabled, {.always = true}),
                      json::field("schemata", &IntelRdtFeatures::schemata, {.always = true}),
                      json::field("monitoring", &IntelRdtFeatures::monitoring, {.always = true}));
}

constexpr auto json_fields(const MemoryPolicyFeatures*) {
  return json::fields(json::field("modes", &MemoryPolicyFeatures::modes),
                      json::field("flags", &MemoryPolicyFeatures::flags));
}

// An empty list is written too: "none is supported" is an answer, an absent member is not.
constexpr auto json_fields(const LinuxFeatures*) {
  using L = LinuxFeatures;
  return json::fields(
      json::field("namespaces", &L::namespaces, {.always = true}),
      json::field("capabilities", &L::capabilities, {.always = true}),
      json::field("cgroup", &L::cgroup, {.always = true}),
      json::field("seccomp", &L::seccomp, {.always = true}),
      json::group("apparmor", json::field("enabled", &L::apparmor, {.always = true})),
      json::group("selinux", json::field("enabled", &L::selinux, {.always = true})),
      json::field("intelRdt", &L::intel_rdt, {.always = true}),
      json::field("memoryPolicy", &L::memory_policy, {.always = true}),
      json::group("mountExtensions",
                  json::group("idmap", json::field("enabled", &L::idmap_mounts, {.always = true}))),
      json::group("netDevices", json::field("enabled", &L::net_devices, {.always = true})));
}

constexpr auto json_fields(const Features*) {
  using F = Features;
  return json::fields(json::field("ociVersionMin", &F::version_min, {.required = true}),
                      json::field("ociVersionMax", &F::version_max, {.required = true}),
                      json::field("hooks", &F::hooks, {.always = true}),
                      json::field("mountOptions", &F::mount_options, {.always = true}),
                      json::field("linux", &F::linux, {.always = true}),
                      json::field("annotations", &F::annotations),
                      json::field("potentiallyUnsafeConfigAnnotations", &F::unsafe_annotations));
}

Features known_features() {
  Features features;
  features.hooks = {"prestart",       "createRuntime", "createContainer",
                    "startContainer", "poststart",     "poststop"};
  features.linux.namespaces = to_list(kNamespaceNames);
  features.linux.seccomp.actions = to_list(kSeccompActions);
  features.linux.seccomp.operators = to_list(kSeccompOperators);
  features.linux.seccomp.archs = to_list(kSeccompArchitectures);
  features.linux.seccomp.known_flags = to_list(kSeccompFlags);
  features.linux.memory_policy.modes = to_list(kMemoryModes);
  features.linux.memory_policy.flags = to_list(kMemoryFlags);
  return features;
}

std::string to_json(const Features& features, bool pretty) {
  return json::write(features, pretty ? json::Style::kTabs : json::Style::kCompact);
}

}  // namespace vrun::oci
