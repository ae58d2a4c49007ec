// System calls newer than a profile fail with ENOSYS instead of the profile's default.
//
// A profile lists what its author knew. A C library that tries a newer call first falls back to an
// older one only on ENOSYS, so an EPERM for it breaks programs (runc and crun do the same). "Newer"
// is a number above the highest that the profile names for that architecture. Left alone: profiles
// whose default lets calls pass (allow, log, trace), whose default errno is ENOSYS anyway, and
// architectures for which nothing is named.
#pragma once

#include "seccomp/library.hpp"

namespace vrun::seccomp {

// Instructions to put in front of the program; none where the profile is left alone.
Program enosys_prelude(const oci::Seccomp& seccomp, const Rules& rules);

}  // namespace vrun::seccomp
