// What a guest may do and share beyond the defaults: namespaces of the host, devices, filters,
// kernel knobs, limits of processes. Everything here is asked for by name, and what gives the host
// away is said (warnings_of).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/request.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

enum class Shares { kOwn, kHost, kGuest };
// --userns, --pid, --ipc, --uts, --cgroupns: empty, "private" or "host"; --pid and --ipc also
// "container:GUEST".
Result<Shares> parse_shares(const std::string& flag, const std::string& text);
// GUEST of "container:GUEST"; else empty.
std::string shared_guest(const std::string& text);
inline bool shares_user(const RunRequest& request) {
  return request.userns == "host";
}

// One sentence for each flag that takes a wall away.
std::vector<std::string> warnings_of(const RunRequest& request);

Result<std::vector<oci::Rlimit>> parse_ulimits(const RunRequest& request);
Result<std::vector<std::pair<std::string, std::string>>> parse_sysctls(const RunRequest& request);

// --security-opt.
struct Security {
  bool no_new_privileges = false;
  bool unconfined = false;  // no seccomp filter
  std::string seccomp_file, apparmor;
  std::string label;  // of SELinux, as asked for: "type:container_t"
};
Result<std::map<std::string, std::string>> parse_annotations(const RunRequest& request);
// --oom-score-adj: -1000 to 1000; absent when it was not given.
Result<std::optional<int>> parse_oom_score(const RunRequest& request);
Result<Security> parse_security(const RunRequest& request);

// --device: the node of the host as a mount, and the rule that lets it be used.
struct DeviceGrant {
  oci::Mount mount;
  oci::DeviceRule rule;
};
Result<DeviceGrant> parse_device(const std::string& text);
// The same, but a directory stands for all devices below it, as /dev/dri or /dev/snd.
Result<std::vector<DeviceGrant>> parse_devices(const std::string& text);

// Everything of it that needs no host.
Result<void> check_rights(const RunRequest& request);

}  // namespace vrun::engine
