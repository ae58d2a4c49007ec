// What --no-pivot must take away before the root is moved.
#pragma once

#include "steps/child.hpp"

namespace vrun::rootfs {

// A move leaves the host's mounts below the new root, where nobody can reach them by path, but
// the kernel still counts them: a fully visible procfs or sysfs there lets a user namespace mount a
// fresh, unmasked one. So every procfs and sysfs outside the container's root goes, or is covered
// by an empty tmpfs where it is locked.
long hide_host_filesystems(steps::Context& context);

}  // namespace vrun::rootfs
