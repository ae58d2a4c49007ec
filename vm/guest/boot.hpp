// What has to be before the agent listens: kernel file systems, modules, the guest's root.
#pragma once

#include <string>

#include "base/result.hpp"

namespace vrun::vm {

// Where the guest's root directory is in the agent's own tree.
inline constexpr const char* kGuestRoot = "/guest";

// Brings a fresh initramfs up: /proc, /sys, /dev and the control groups are mounted, the modules
// of /modules loaded in the order of their names, the initramfs left for a file system that can
// be pivoted away from, loopback up, and the virtio-fs share `root` at kGuestRoot.
Result<void> boot();

// The parts of it that a boot from a disk has as well: /proc, /sys, /dev and the modules; the
// modules of a file system's type (/filesystems/TYPE of the initramfs); a mount, whose directory is
// made; loopback.
Result<void> begin_boot();
Result<void> load_file_system(const std::string& type);
Result<void> mount_at(const char* type, const char* source, const char* target, unsigned long flags,
                      const char* data = nullptr);
Result<void> loopback_up();

// Everything written is on its way to the host, then the machine goes off. Returns only when it
// cannot.
void power_off();

}  // namespace vrun::vm
