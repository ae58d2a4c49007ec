// The guest's RAM as a file: sparse, and mapped privately by as many machines as like.
#pragma once

#include <cstdint>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/memory.hpp"

namespace vrun::vmm {

// Into an empty file, of the memory's size afterwards: pages of zeros are holes. Answers how many
// bytes were written. The guest stands still.
Result<std::uint64_t> write_memory(const GuestMemory& memory, const Fd& file);

// Such a file as the memory of a machine that goes on: what the guest reads comes from the file
// when it is first touched, what it writes is its own. kInvalid for a file of another size.
Result<GuestMemory> map_snapshot(const Fd& file, std::uint64_t size);

}  // namespace vrun::vmm
