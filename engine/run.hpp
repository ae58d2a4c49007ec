// `vrun run`: a guest from an image, in the foreground, gone when it ends.
#pragma once

#include <string>

#include "base/host.hpp"
#include "base/result.hpp"
#include "engine/places.hpp"
#include "engine/request.hpp"

namespace vrun::engine {

// The exit code of the guest's process (128 + signal when it was killed). On return nothing is
// left: writable layer, cgroup, ids and state are gone, whatever happened. What earlier commands
// left when they were killed is removed first.
Result<int> run_guest(const RunRequest& request, const Places& places, const Host& host);

// What run_guest() would do, in words, with the specification as JSON. Changes nothing.
Result<std::string> plan_guest(const RunRequest& request, const Places& places, const Host& host);

// What a command line ends with after a failed run: 127 when the program was not found, 126 when it
// could not be executed, 125 for everything else (as Docker and Podman).
int exit_code_of(const Error& error);

}  // namespace vrun::engine
