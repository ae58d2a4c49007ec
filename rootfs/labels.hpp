// linux.mountLabel: the SELinux context of filesystems made for the container.
#pragma once

#include <string>

#include "base/result.hpp"

namespace vrun::rootfs {

struct FilesystemMount;

// Adds the context option to filesystems that carry one. A label on a host without SELinux is an
// error.
Result<void> add_label(const std::string& label, FilesystemMount& mount);

}  // namespace vrun::rootfs
