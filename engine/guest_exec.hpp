// A further process in a running guest.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

struct ExecRequest {
  std::vector<std::string> command;
  std::vector<std::string> env;  // NAME=VALUE
  std::string workdir, user;     // empty: as the guest's first process
  bool tty = false, interactive = false, detach = false, privileged = false;
  bool ends_with_us = false;  // of a micro-VM: killed when this process ends before it
  std::string pid_file;       // where its pid outside is written; empty: nowhere
};
// Its exit code. A guest that does not run is kState.
Result<int> exec_in_guest(const Guests& guests, const GuestRecord& record,
                          const ExecRequest& request);

// The error for a guest that does not run.
Error not_running(const Guest& guest);
// What is read from a pipe has an end, which a terminal would have to be typed.
Error no_input_terminal();

}  // namespace vrun::engine
