// Pieces of mount() that copy_up() and console() share.
#pragma once

#include "steps/child.hpp"

namespace vrun::rootfs {

// A new superblock of args.type with its options, detached. `mode_from` >= 0: a tmpfs without a
// mode of its own takes the mode of that directory. The kernel's words on a failure are said.
long make_filesystem(steps::Context& context, const steps::MountArgs& args, int mode_from);

// Where the mount goes: made if missing, checked to be a fair target (see mount_child.cpp).
// `source` is what will be mounted there, or -1.
long open_mount_target(steps::Context& context, const steps::MountArgs& args, int source);

// Attributes and propagation, first the single ones, then those for the whole tree.
long apply_attributes(int mount, const steps::MountArgs& args);

}  // namespace vrun::rootfs
