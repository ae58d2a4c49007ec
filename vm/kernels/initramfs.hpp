// The initramfs of a guest: the agent as /init, and the modules that it loads.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::vm {

// What the guest is: an image, whose root is shared by virtio-fs, or a system on a disk.
enum class Boots : bool { kImage, kDisk };

// `modules`: /lib/modules/RELEASE. The archive has /init = `agent` and /modules/NN-name.ko,
// unpacked, in the order of loading; for disks also /filesystems/TYPE/NN-name.ko. kNotFound: the
// kernel has not what a guest cannot do without. No modules: all must be built in.
Result<std::string> make_initramfs(const Fd& modules, std::string_view agent, Boots boots);

}  // namespace vrun::vm
