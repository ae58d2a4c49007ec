// What QEMU sees of the host: a folder with the program, its libraries and modules, the firmware
// that a kernel's start takes, and what the guest boots. It has that folder as its root and nothing
// else (vm/vmm/qemu.hpp).
//
//   vm/cache/DIGEST.qemu/{ld.so,qemu,lib/,modules/,firmware/,vmlinux,initramfs}
//
// The digest is over the program and what is booted: an update of either makes another folder. A
// folder is there whole or not at all.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/kernel_cache.hpp"

namespace vrun::vm {

// The files that `ld.so --list` names, in its order; pure. None for a line without one (the
// kernel's own linux-vdso).
std::vector<std::string> libraries_of(std::string_view list);

struct QemuRequest {
  std::string data;     // the data directory
  std::string program;  // qemu-system-x86_64
  const BootFiles& boot;
};

// The folder as a mount of its own, detached and read-only: there is no way up from it.
// kNotFound names the file that QEMU would miss, with the remedy.
Result<Fd> qemu_root(const QemuRequest& request);

// Its name in the cache.
Result<std::string> qemu_folder_name(const QemuRequest& request);

}  // namespace vrun::vm
