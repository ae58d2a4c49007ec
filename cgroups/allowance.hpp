// What a group may use at most, counting the groups above it, and what of its memory is what: the
// numbers that a guest's own view of the machine is made of. Read from the files each time; a file
// that is missing stands for "no limit", so a host without a controller has none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cgroups/group.hpp"

namespace vrun::cgroups {

struct Allowance {
  std::optional<std::uint64_t> memory;       // bytes: the least memory.max and memory.high
  std::optional<std::uint64_t> memory_free;  // what is left of them where least is left
  std::optional<std::uint64_t> swap;         // bytes of swap alone
  std::optional<std::uint64_t> cpu_milli;    // thousandths of a processor
  std::vector<unsigned> cpus;                // the processors of the cpuset; empty: not known
};
Allowance read_allowance(const Location& location);

// memory.stat in the words of v2, whichever hierarchy it came from.
struct MemoryParts {
  std::uint64_t file = 0, anon = 0, shmem = 0, mapped = 0, dirty = 0, writeback = 0;
  std::uint64_t inactive_anon = 0, active_anon = 0, inactive_file = 0, active_file = 0;
  std::uint64_t unevictable = 0, slab_reclaimable = 0, slab_unreclaimable = 0;
  std::uint64_t kernel_stack = 0, page_tables = 0;
};
struct MemoryUse {
  std::uint64_t used = 0, swap = 0;
  MemoryParts parts;
};
MemoryUse memory_use(const Location& location, const Stats::MemoryStats& stats);

// "0-2,7" as numbers, at most 4096 of them; what makes no sense is passed over.
std::vector<unsigned> parse_cpu_list(std::string_view text);

}  // namespace vrun::cgroups
