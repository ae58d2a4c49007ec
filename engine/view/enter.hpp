// The way of a view into its guest: the files over those of procfs and sysfs there, then, for good,
// out of the host's rights.
#pragma once

#include "base/fd.hpp"
#include "base/id.hpp"
#include "base/result.hpp"

namespace vrun::view {

// A mount of the file system that is served through `fuse`.
Result<Fd> make_file_system(const Fd& fuse);

// In a process of its own: puts each file over the guest's. The guest's program has not begun, so
// nothing there moves; what is no procfs or sysfs is left alone. The file system must be served
// meanwhile.
Result<void> cover_files(Pid guest, const Fd& mount);

// From here on nobody but the guest's root, with no capability but CAP_SYS_PTRACE over the guest's
// own processes, which writing answers into them needs.
Result<void> become_guest_root(Pid guest);

}  // namespace vrun::view
