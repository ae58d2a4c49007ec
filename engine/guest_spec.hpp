// From an image and a request to the runtime specification of a guest: pure, no kernel, no disk.
//
// The defaults are the safe ones, chosen in docs/decisions: own namespaces of every kind (but
// time), the guest's root is nobody outside, twelve capabilities, the default seccomp profile, no
// devices but the usual ones, no network but loopback, kernel knobs masked or read-only. set-id
// programs in the image work (no_new_privileges is off): they can only gain what the guest's root
// has.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "engine/request.hpp"
#include "engine/users.hpp"
#include "oci/image.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

// Namespaces of another guest that this one lives in; empty: none.
struct JoinedNamespaces {
  std::string user, pid, ipc;
};

// What the engine found out or decided about a guest before its spec can be written.
struct GuestFacts {
  std::string name;
  std::string cgroups_path;
  bool no_cgroup = false;  // there is none for it: without root and delegation
  std::vector<oci::IdMapping> uids, gids;
  std::string files_dir;  // has hosts, hostname and resolv.conf for this guest
  bool terminal = false;
  Account account;
  std::string cwd;  // of the caller: what "./x" starts at
  std::vector<oci::Mount> volumes, tmpfs;
  std::vector<oci::DeviceRule> device_rules;  // of --device
  std::optional<oci::Seccomp> seccomp;        // of --security-opt seccomp=FILE
  bool host_has_mqueue = true;                // for --ipc host
  std::string init_program;                   // of --init: a path of the host
  JoinedNamespaces joined;                    // of --pid and --ipc container:NAME
  std::string machine_id;                     // of a system guest
  std::string network_path;                   // of --network container:NAME: its namespace
};

// Everything about a request that can be said without looking at the host: flags that exclude each
// other, what comes with a later version, names that are none.
Result<void> check_request(const RunRequest& request);

// What is wrong with the flags for this image: command, capabilities, limits.
Result<void> check_flags(const oci::ImageConfig& image, const RunRequest& request);

// The request is settled (settle_request).
Result<oci::Spec> build_spec(const oci::ImageConfig& image, const RunRequest& request,
                             const GuestFacts& facts);

// The command line: entrypoint and arguments by Docker's rules.
Result<std::vector<std::string>> command_of(const oci::ImageConfig& image,
                                            const RunRequest& request);
// The default set plus and minus what was asked for: "NET_ADMIN", "cap_net_admin", "ALL".
Result<std::vector<std::string>> capabilities_of(const RunRequest& request);

}  // namespace vrun::engine
