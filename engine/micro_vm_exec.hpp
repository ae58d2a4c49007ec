// A further process in a micro-VM: what `exec` and health checks do for a container, by way of the
// agent in the guest (vm/agent/frames.hpp).
#pragma once

#include <functional>
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
  bool input = false;         // our stdin is its stdin; else it has none
  bool detach = false;        // answers when it runs
  bool ends_with_us = false;  // killed when the connection is lost; else it goes on
};

// Its exit code (128 + n: by signal n). An error of the guest's side has the same code and text as
// for a container; whether it is 125, 126 or 127 stands in `status`. `socket`: of the agent;
// `runs`: does the machine, so that waiting for the end of its boot makes sense?
Result<int> exec_by_socket(const std::string& socket, const std::function<bool()>& runs,
                           const MicroVmExec& request, int& status);
// The same in a guest of ours.
Result<int> exec_in_micro_vm(const Guests& guests, const GuestRecord& record,
                             const MicroVmExec& request, int& status);

}  // namespace vrun::engine
