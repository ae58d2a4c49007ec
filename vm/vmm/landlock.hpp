// Landlock (landlock(7), Linux 5.13): a thread gives up paths, and what later kernels add.
#pragma once

#include "base/result.hpp"

namespace vrun::vmm::landlock {

// The version of the interface; 0: this kernel has none, or it is switched off.
int version();

struct Wish {
  bool signals = false;  // goes on to send signals to threads outside of what it gives up here
};
// From here on the calling thread opens, makes, renames or executes no file by any path, and where
// the kernel knows how, reaches no TCP port (version 4), no abstract socket and no process of
// others (version 6). What is open stays usable. Needs no_new_privs. Without Landlock: nothing.
Result<void> give_up_paths(const Wish& wish);

}  // namespace vrun::vmm::landlock
