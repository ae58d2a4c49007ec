// Hooks that run in the runtime's namespaces: prestart, createRuntime, poststart, poststop.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::runtime {

// Runs them in order with `state` on stdin. The first that fails ends it: its exit status and the
// end of its output are in the error. `kind` is the member of the config: "createRuntime". With
// `guest`, a pidfd, a hook is killed when that process ends: a hook that hangs then cannot keep
// `delete --force` waiting.
Result<void> run_hooks(const std::vector<oci::Hook>& hooks, const oci::State& state,
                       const char* kind, int guest = -1);

// poststop: a failure is logged and the next one runs, as the specification demands.
void run_poststop_hooks(const oci::Hooks& hooks, const oci::State& state);

}  // namespace vrun::runtime
