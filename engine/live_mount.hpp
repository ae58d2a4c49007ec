// Mounts that come into, and leave, the mount namespace of a guest that runs.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

// The namespaces of a guest's first process.
struct GuestPlace {
  Fd users;  // none: the host's
  Fd mounts;
};
// `process`: a pidfd of it, so that no other process is meant once it has ended.
Result<GuestPlace> guest_place(Pid pid, const Fd& process);

// A detached copy of what the bind `mount` asks for, with its options; owners are mapped as the
// guest has its users.
Result<Fd> detached_mount(const oci::Mount& mount, const GuestPlace& place);

// Both by a child that enters these namespaces and is the guest's own root there: no path is walked
// with the host's rights. attach() makes the target as `run` does.
Result<void> attach(const Fd& mount, const GuestPlace& place, const std::string& target);
// True: nothing is mounted there any more. False: it is in use.
Result<bool> detach(const GuestPlace& place, const std::string& target);

}  // namespace vrun::engine
