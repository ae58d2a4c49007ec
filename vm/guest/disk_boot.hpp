// From a fresh initramfs to the init of a system that has a disk of its own.
#pragma once

#include <span>

#include "base/result.hpp"
#include "vm/guest/boot_words.hpp"

namespace vrun::vm {

// The kernel's file systems, the modules and the network are there, the root file system is
// mounted, and its init takes our place, with `arguments`. Returns only with the error.
//
// The network is configured, so that it works in systems that leave it alone; /run/vrun/resolv.conf
// and units in /run/systemd/network say the same to those that do not.
Error boot_disk(const BootWords& words, std::span<const char* const> arguments);

}  // namespace vrun::vm
