// What guests boot, made once for each kernel: the unpacked kernel and its initramfs.
//
// Below the data directory, named by a digest of what they were made of:
//   vm/cache/DIGEST.vmlinux
//   vm/cache/DIGEST.initramfs
// The digest is over path, device, inode, size and times (mtime and ctime, which only the kernel
// sets) of the files, so that a start need not read them. A file is there whole or not at all; two
// that need the same one at once make it once; what a killed maker leaves goes with the next one.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/kernel_choice.hpp"

namespace vrun::vm {

// Makes `output` from what it was asked for; `vrun-kernel` in life, something quicker in tests.
using Maker = std::function<Result<void>(const std::vector<std::string>& arguments)>;
// Runs the helper `vrun-kernel` with these arguments; its words are the error's.
Maker kernel_helper(std::string program);

struct CacheRequest {
  std::string data;  // the data directory
  HostKernel kernel;
  std::string agent;  // path of vrun-guest
  bool disk = false;  // for systems on a disk
  // A file instead of an initramfs of ours; empty: ours.
  std::string initrd = {};
};

// Open for reading.
struct BootFiles {
  Fd vmlinux, initramfs;
};
Result<BootFiles> boot_files(const CacheRequest& request, const Maker& make);

// By what they are called in the cache; `initramfs` is empty where it is the guest's own file.
struct CacheNames {
  std::string vmlinux, initramfs;
};
Result<CacheNames> cache_names(const CacheRequest& request);

}  // namespace vrun::vm
