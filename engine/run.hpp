// `vrun run`: a guest from an image, in the foreground or detached.
#pragma once

#include <string>

#include "base/host.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/request.hpp"

namespace vrun::engine {

// The exit code of the guest's process (128 + signal when it was killed); 0 when it goes on without
// us: --detach, whose id is printed then, or the detach keys (bytes, see attach.hpp).
//
// A guest of --rm in the foreground without a terminal lives and dies with this command: on return
// nothing is left of it, whatever happened. Every other one has a monitor and is kept until `rm`.
Result<int> run_guest(const RunRequest& request, const Guests& guests,
                      const std::string& detach_keys);

// Starts an existing guest and stays with it: its output is ours, and so is its exit code.
struct StayRequest {
  std::string detach_keys;
  bool input = true;  // our stdin goes to it
  bool forward_signals = true;
};
Result<int> start_and_stay(const Guests& guests, const GuestRecord& record,
                           const StayRequest& request);

// What run_guest() would do, in words, with the specification as JSON. Changes nothing.
Result<std::string> plan_guest(const RunRequest& request, const Guests& guests);

Result<void> need_root(const Host& host);

// What a command line ends with after a failed run: 127 when the program was not found, 126 when it
// could not be executed, 125 for everything else (as Docker and Podman).
int exit_code_of(const Error& error);

}  // namespace vrun::engine
