// What the guests of a tenant may do beyond the ordinary, as plain data, and what of a guest's
// specification or request is against it.
//
// Strict unless said otherwise: nothing here is allowed that is not listed. The tenant `default` is
// root's own and has no policy. Checked twice: the request before anything is fetched or made (its
// registry, its networks), and the finished specification before the runtime sees it, whatever flag
// or image asked for it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"
#include "tenants/budget.hpp"

namespace vrun::tenants {

struct Policy {
  std::vector<std::string> capabilities;  // beside the usual ones: "CAP_NET_ADMIN"; "ALL"
  std::vector<std::string> mounts;        // prefixes of host paths: "/srv/acme"
  std::vector<std::string> devices;       // "/dev/fuse"
  std::vector<std::string>
      namespaces;  // of the host: "network", "pid", "ipc", "uts", "user", "cgroup"
  std::vector<std::string> sysctls;     // "net.ipv4.*"
  std::vector<std::string> registries;  // hosts; empty: every one
  std::vector<std::string> networks;    // names; empty: all its own
  std::vector<std::string> ports;       // of the host below 1024: "80", "100-200"
  std::vector<std::string> addresses;   // of the host to publish on; empty: all
  std::vector<std::string> unsafe;      // "privileged", "seccomp", "apparmor"
  bool vm_required = false;
  bool system_forbidden = false;  // no system guests: they may call more of the kernel
  // Of one guest; 0: no limit but the tenant's.
  std::uint64_t guest_memory = 0, guest_cpu_milli = 0, guest_pids = 0;
  bool operator==(const Policy&) const = default;
};

// The flags that change a policy; "--allow-..." and "--only-..." add, "none" empties.
std::vector<std::string_view> policy_flags();
void read_policy(std::span<const FlagText> given, Policy& policy, json::Faults& faults);
std::vector<BudgetLine> words_of(const Policy& policy);

// One thing that the policy refuses: "host mounts: '/etc' is not below an allowed path".
struct Refusal {
  std::string rule;  // of the policy: "mounts"
  std::string text;
  std::string flag;  // of `tenant update` that would allow it: "--allow-mount /etc"
};

// What a policy cannot know: which mounts of the specification are vrun's own, and what every guest
// may do.
struct HostFacts {
  std::function<bool(const oci::Mount& mount)> is_own;
  std::vector<std::string> usual_capabilities;
};
// All that is refused at once; empty: the guest may start. Paths are compared as they are written:
// who mounts them must open them below covering_prefix() without following links.
std::vector<Refusal> constrain(const Policy& policy, const oci::Spec& spec, const HostFacts& facts);

// Of one guest's limits alone.
std::vector<Refusal> constrain_limits(const Policy& policy, const oci::Resources& limits);

// Of a request: where its image comes from and which networks it joins.
struct Wishes {
  std::string registry;  // empty: the image is here
  std::vector<std::string> networks;
  std::string isolation;
  bool privileged = false, own_filter = false;  // also of exec
  // Published, as the host has them; port 0: any free one.
  struct Port {
    std::uint32_t first = 0, count = 1;
    std::string address;  // empty: all
  };
  std::vector<Port> ports;
};
std::vector<Refusal> constrain(const Policy& policy, const Wishes& wishes);

// Of the mounts alone, before anything of the host was looked at.
std::vector<Refusal> constrain_mounts(const Policy& policy, const std::vector<oci::Mount>& mounts,
                                      const HostFacts& facts);

// The allowed path that `path` is below; nullptr: none.
const std::string* covering_prefix(const Policy& policy, std::string_view path);

// As one error: each refusal with its rule and who may change it.
Error to_error(const std::string& tenant, const std::vector<Refusal>& refusals);

}  // namespace vrun::tenants
