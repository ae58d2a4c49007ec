// Mounts that come into, and leave, the mount namespace of a guest that runs.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

// A detached copy of what the bind `mount` asks for, with its options; owners are mapped as process
// `pid` of the guest has its users.
Result<Fd> detached_mount(const oci::Mount& mount, Pid pid);

// Both by a child that enters the namespaces of `pid` and is the guest's own root there: no path is
// walked with the host's rights. attach() makes the place as `run` does.
Result<void> attach(const Fd& mount, Pid pid, const std::string& target);
// True: nothing is mounted there any more. False: it is in use.
Result<bool> detach(Pid pid, const std::string& target);

}  // namespace vrun::engine
