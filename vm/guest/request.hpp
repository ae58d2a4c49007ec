// What the host asks the agent for, as plain structs.
//
//   kRun:  {"spec": runtime-spec object,
//           "networks": [{"name", "mac", "mtu", "addresses", "gateways"}]}
//   kExec: {"args", "env", "cwd", "terminal", "consoleSize", "user", "capabilities",
//           "noNewPrivileges", "endsWithHost"}: what is absent stays as the guest's own process has
//           it
//   kCall: {"call": name, ...}
//   kAdopt: {"guest": {"hostname", "networks" as of kRun}, "seed", "seconds", "nanoseconds"}
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "oci/spec.hpp"
#include "runtime/container.hpp"

namespace vrun::vm {

// A network interface of the guest.
struct NetworkRequest {
  std::string name = "eth0";
  std::string mac;                     // which card it is; empty: the only one
  std::uint32_t mtu = 0;               // 0: as the device says
  std::vector<std::string> addresses;  // "10.0.0.2/24", "fd00::2/64"
  std::vector<std::string> gateways;   // of the default routes, at most one of each family
};

struct RunRequest {
  oci::Spec spec;
  std::vector<NetworkRequest> networks;
};

struct ExecRequest {
  std::vector<std::string> args, env, capabilities;
  std::string cwd;
  bool terminal = false, no_new_privileges = false;
  bool ends_with_host = false;  // killed when the connection is lost; else it goes on
  std::optional<oci::ConsoleSize> console_size;
  std::optional<oci::User> user;
};

struct CallRequest {
  std::string call;
  std::int64_t seconds = 0, nanoseconds = 0;  // of set-clock: since 1970
  // Of probe: network::PortProbe, and when it is too late.
  bool http = false;
  std::uint16_t port = 0;
  std::string path = "/";
  std::int64_t milliseconds = 30000;
  std::optional<NetworkRequest> network;  // of add-card and way-out
};

// What a guest that goes on from a snapshot is told.
struct AdoptedGuest {
  std::string hostname;                  // empty: as it was
  std::vector<NetworkRequest> networks;  // its interfaces, by their names
};
struct AdoptRequest {
  AdoptedGuest guest;
  std::string seed;  // hexadecimal: random numbers that no other machine has got
  std::int64_t seconds = 0, nanoseconds = 0;  // since 1970
};

Result<RunRequest> parse_run(std::string_view json);
Result<ExecRequest> parse_exec(std::string_view json);
Result<CallRequest> parse_call(std::string_view json);
Result<AdoptRequest> parse_adopt(std::string_view json);

// The specification as the runtime gets it: its root is `root`, and it has namespaces of its own
// where the agent would else be seen (mount, pid, ipc, uts, cgroup). The network and the users are
// those of the whole guest. kInvalid for namespaces by path and what else belongs to the host.
Result<void> fit_to_guest(oci::Spec& spec, const std::string& root);

// The exec as the runtime takes it.
runtime::ExecOptions to_options(const ExecRequest& request);

// What a command line ends with after this error of starting a program: 127, 126 or 125.
int status_of(const Error& error);

}  // namespace vrun::vm
