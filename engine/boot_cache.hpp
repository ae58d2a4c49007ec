// What micro-VMs boot is kept below the data directory (vm/kernel_cache.hpp); this clears away what
// no kernel of this host and no guest of any tenant needs.
#pragma once

#include "base/host.hpp"
#include "base/result.hpp"
#include "engine/places.hpp"
#include "vm/cache_prune.hpp"

namespace vrun::engine {

Result<vm::CachePruned> prune_boot_cache(const Places& places, const Host& host, bool dry_run);

}  // namespace vrun::engine
