// From a config to everything that `create` and `run` will do: a plain value, made without touching
// the kernel beyond opening what the config names.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "cgroups/group.hpp"
#include "namespaces/plan.hpp"
#include "oci/spec.hpp"
#include "runtime/container.hpp"
#include "seccomp/seccomp.hpp"
#include "steps/builder.hpp"

namespace vrun::runtime {

// The config and what the caller said about it.
struct Input {
  ContainerId id;
  std::string bundle;  // absolute path
  Fd bundle_dir;
  oci::Spec spec;
  std::string config_text;  // what is kept as the snapshot
  CreateOptions options;
  bool gate = true;         // create: stop at the gate; run: go straight on
  bool foreground = false;  // run without detach: the pty master comes to us
};

Result<Input> read_input(const CreateOptions& options);

// process.terminal, --console-socket and the foreground fit together.
Result<void> check_terminal(const Input& input);

// CreateOptions::stdio, as a step.
void add_stdio(const std::array<int, 3>& stdio, steps::Builder& builder);

struct Plan {
  steps::Builder builder;
  namespaces::Plan namespaces;
  std::optional<seccomp::Filter> filter;
  Fd gate;  // the listener, made by the caller before (its number is in the program)
  Fd hook_state_creating,
      hook_state_created;  // memory files for hooks that run inside; filled after the clone
};

Result<std::unique_ptr<cgroups::Group>> plan_group(const Context& context, const Input& input);
// `group` was made already, but for a dry run. `gate_dir`: the state folder in which the gate is
// bound, or nullptr for a dry run.
Result<Plan> make_plan(const Context& context, const Input& input, const cgroups::Group& group,
                       const Fd* gate_dir);

// Device rules of the config followed by what every container may use (as runc: null, zero, full,
// random, urandom, tty, console, ptmx, pts and mknod of anything).
std::vector<oci::DeviceRule> device_rules(const oci::Spec& spec);

}  // namespace vrun::runtime
