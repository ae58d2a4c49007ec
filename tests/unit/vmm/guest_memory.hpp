// Memory of a guest, for tests: a memfd of its own.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/vmm/memory.hpp"

namespace vrun::vmm {

inline GuestMemory memory_of(std::uint64_t size) {
  Fd fd = *sys::memfd("test-guest");
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
  return *GuestMemory::map(fd, size);
}

}  // namespace vrun::vmm
