// A further process in a micro-VM: what `exec` and health checks do for a container, by way of the
// agent in the guest (vm/agent/frames.hpp).
#pragma once

#include <string>

#include "base/result.hpp"
#include "engine/guests.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

struct MicroVmExec {
  std::vector<std::string> args, env, capabilities;
  std::string cwd;
  std::optional<oci::User> user;
  bool terminal = false;
  bool input = false;   // our stdin is its stdin; else it has none
  bool detach = false;  // answers when it runs
};

// Its exit code (128 + n: by signal n). An error of the guest's side has the same code and text as
// for a container; whether it is 125, 126 or 127 stands in `status`.
Result<int> exec_in_micro_vm(const Guests& guests, const GuestRecord& record,
                             const MicroVmExec& request, int& status);

}  // namespace vrun::engine
