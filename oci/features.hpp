// The document of `features` (features.md and features-linux.md of runtime-spec 1.3). The caller
// fills in what this build and this kernel really can; nothing is probed here.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace vrun::oci {

struct CgroupFeatures {
  bool v1 = false, v2 = false, systemd = false, systemd_user = false, rdma = false;
  bool operator==(const CgroupFeatures&) const = default;
};

struct SeccompFeatures {
  bool enabled = false;
  std::vector<std::string> actions, operators, archs;
  std::vector<std::string> known_flags;      // what the reader accepts
  std::vector<std::string> supported_flags;  // what this kernel does as well
  bool operator==(const SeccompFeatures&) const = default;
};

struct IntelRdtFeatures {
  bool enabled = false, schemata = false, monitoring = false;
  bool operator==(const IntelRdtFeatures&) const = default;
};

struct MemoryPolicyFeatures {
  std::vector<std::string> modes, flags;
  bool operator==(const MemoryPolicyFeatures&) const = default;
};

struct LinuxFeatures {
  std::vector<std::string> namespaces;    // "pid", "network", ... as in the config
  std::vector<std::string> capabilities;  // "CAP_CHOWN" ...
  CgroupFeatures cgroup;
  SeccompFeatures seccomp;
  bool apparmor = false;
  bool selinux = false;
  IntelRdtFeatures intel_rdt;
  MemoryPolicyFeatures memory_policy;
  bool idmap_mounts = false;
  bool net_devices = false;
  bool operator==(const LinuxFeatures&) const = default;
};

struct Features {
  std::string version_min = "1.0.0";
  std::string version_max = "1.3.0";
  std::vector<std::string> hooks;
  std::vector<std::string> mount_options;
  LinuxFeatures linux;
  std::map<std::string, std::string> annotations;
  std::vector<std::string>
      unsafe_annotations;  // those in a config that can break out; "x.*" allowed
  bool operator==(const Features&) const = default;
};

// With hooks and all names that the reader knows (namespaces, seccomp, memory policy) filled in;
// the rest is empty or false.
Features known_features();

std::string to_json(const Features& features, bool pretty);

}  // namespace vrun::oci
