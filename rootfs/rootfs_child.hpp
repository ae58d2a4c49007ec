// The child halves of this folder: what the stage does for each op, in the order of steps::Op.
//
// Each answers 0 or -errno and leaves words for the reader in context.say(). Targets resolve
// beneath context.root_fd, which root() sets and pivot() replaces by the new "/".
#pragma once

#include "steps/child.hpp"

namespace vrun::rootfs {

long root(steps::Context& context, const steps::RootArgs& args);
long mount(steps::Context& context, const steps::MountArgs& args);
long copy_up(steps::Context& context, const steps::CopyUpArgs& args);
long make_symlink(steps::Context& context, const steps::SymlinkArgs& args);
long device(steps::Context& context, const steps::DeviceArgs& args);
// Also for exec: with root_fd == -1 the process's own "/" is the root.
long console(steps::Context& context, const steps::ConsoleArgs& args);
long pivot(steps::Context& context, const steps::PivotArgs& args);
long root_attributes(steps::Context& context, const steps::RootAttributesArgs& args);
long mask_path(steps::Context& context, const steps::PathArgs& args);
long readonly_path(steps::Context& context, const steps::PathArgs& args);
long sysctl(steps::Context& context, const steps::SysctlArgs& args);

}  // namespace vrun::rootfs
