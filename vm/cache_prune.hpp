// What of vm/cache (kernel_cache.hpp, qemu_root.hpp) nobody needs any more goes.
//
// Needed is what the kernels in the list boot from now on; of the rest, files go at once, since
// whoever boots from one has it open, and QEMU's folders when no process has one as its root and
// nobody took it in the last ten minutes. A start that needs what has gone makes it again. Killed
// in the middle, the next one goes on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "vm/kernel_cache.hpp"

namespace vrun::vm {

struct CachePrune {
  std::string data, proc;            // the data directory, the host's /proc
  std::vector<CacheRequest> needed;  // those whose files have gone need nothing
  std::string qemu;                  // the program, if the host has it
  bool dry_run = false;
};
struct CachePruned {
  std::size_t entries = 0;
  std::uint64_t bytes = 0;
};
Result<CachePruned> prune_cache(const CachePrune& rule);

}  // namespace vrun::vm
