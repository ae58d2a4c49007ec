// Who the process is and what it may do: label, user, capabilities, no_new_privs, filter.
//
// The order that these need of each other is laid down, with reasons, in process/plan.cpp.
#pragma once

#include "steps/child.hpp"

namespace vrun::process {

// Writes the label that the next exec switches to, through a procfs that the image cannot shadow.
long exec_label(steps::Context& context, const steps::ExecLabelArgs& args);
long no_new_privs(steps::Context& context);
long capability_bounds(steps::Context& context, const steps::CapabilitiesArgs& args);
// Changes groups and user; the permitted capabilities stay, and are all effective afterwards.
long credentials(steps::Context& context, const steps::CredentialsArgs& args);
// Sets inheritable and ambient, then effective and permitted in one call.
long capabilities(steps::Context& context, const steps::CapabilitiesArgs& args);
// Loads the filter. With a listener, hands it over through the shared block: no system call, since
// the filter may refuse or notify every one of them.
long seccomp(steps::Context& context, const steps::SeccompArgs& args);

// The calling thread's sets, for the files of this folder.
struct CapabilitySets {
  uint64_t effective, permitted, inheritable;
};
long read_capabilities(CapabilitySets& sets);
long write_capabilities(const CapabilitySets& sets);

}  // namespace vrun::process
