// Linux kernels for guests: what a file holds, and how it gets into the guest's memory.
//
// An ELF (vmlinux) is copied into huge pages, not mapped: a kernel patches its code all over while
// it starts, and each small page that it touches would cost a fault of the guest. A bzImage unpacks
// itself in the guest, which costs it time and memory; the cache of unpacked kernels (vm/kernels)
// makes an ELF of it first.
#pragma once

#include <cstdint>
#include <string>

#include <asm/bootparam.h>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/memory.hpp"

namespace vrun::vmm {

struct LoadedKernel {
  std::uint64_t entry = 0;  // 64-bit, physical
  std::uint64_t end = 0;    // the first byte behind what it needs while it starts
  setup_header header{};    // for the zero page
};

// kInvalid with the remedy: no kernel, for another machine, truncated, not for 64-bit entry, or
// larger than the guest's memory. `name` is how errors call the file.
Result<LoadedKernel> load_kernel(const GuestMemory& memory, const Fd& file,
                                 const std::string& name);

struct BootFiles {
  const LoadedKernel& kernel;
  const Fd* initrd = nullptr;
  std::string initrd_name;
  std::string command_line;
};
// The initrd, the command line and the zero page that tells the kernel of them and of its memory.
Result<void> write_boot_files(const GuestMemory& memory, const BootFiles& files);

}  // namespace vrun::vmm
