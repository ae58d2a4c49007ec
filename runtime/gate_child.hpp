// The stage's side of the meeting points with its callers, and the hooks that run inside.
#pragma once

#include "steps/child.hpp"

namespace vrun::runtime {

long ask(steps::Context& context);
long ready(steps::Context& context);
// Waits for `start`: a connection that sends one byte. Connections that end without it (probes) are
// passed over.
long gate(steps::Context& context, const steps::GateArgs& args);
long run_hook(steps::Context& context, const steps::HookArgs& args);

// The switch over steps::Op.
long perform(steps::Context& context, const steps::Step& step);

}  // namespace vrun::runtime
