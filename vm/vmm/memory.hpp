// The guest's RAM as the VMM sees it.
//
// The guest names places by physical addresses and may name any: at() is the one way from such an
// address to a pointer, and answers null for what is not wholly RAM. What the guest can write may
// change between two reads, so callers copy a value out once and check the copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::vmm {

class GuestMemory {
 public:
  struct Region {
    std::uint64_t guest;   // physical address
    std::uint64_t offset;  // in the descriptor and in our mapping
    std::uint64_t size;
  };

  // `size` bytes (a multiple of the page size) of fresh memory as the guest's RAM; what is above
  // 3 GiB goes on at 4 GiB. Not of a file: only such pages become huge ones on every host.
  static Result<GuestMemory> make(std::uint64_t size);
  // The same of `fd`, which has that size. `writes_back`: into the descriptor (MAP_SHARED), else
  // ours alone (MAP_PRIVATE: a snapshot that is restored).
  static Result<GuestMemory> map(const Fd& fd, std::uint64_t size, bool writes_back = true);
  // The same of the first `size` bytes of `fd`, of which the guest sees `regions`: another process
  // (QEMU) made it. kInvalid for a region that is not wholly in it.
  static Result<GuestMemory> map_regions(const Fd& fd, std::uint64_t size,
                                         std::vector<Region> regions);
  GuestMemory(GuestMemory&& other) noexcept;
  GuestMemory& operator=(GuestMemory&&) = delete;
  ~GuestMemory();

  std::uint64_t size() const { return size_; }
  std::span<const Region> regions() const { return regions_; }
  std::byte* host(const Region& region) const { return base_ + region.offset; }

  // The pages there, which the guest will use all, come as huge ones where the host has them: a
  // fault of the guest costs far more than that of a process.
  void use_huge_pages(std::uint64_t address, std::uint64_t count) const;

  // The `count` bytes at a physical address; null unless all of them are RAM of one region.
  std::byte* at(std::uint64_t address, std::uint64_t count) const;

  // One value, copied. False (and nothing done) outside RAM.
  template <typename T>
  std::optional<T> read(std::uint64_t address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    const std::byte* from = at(address, sizeof(T));
    if (from == nullptr) return std::nullopt;
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  template <typename T>
  bool write(std::uint64_t address, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    std::byte* to = at(address, sizeof(T));
    if (to == nullptr) return false;
    std::memcpy(to, &value, sizeof value);
    return true;
  }

 private:
  GuestMemory(std::byte* base, std::uint64_t size);
  std::byte* base_;
  std::uint64_t size_;
  std::vector<Region> regions_;
};

}  // namespace vrun::vmm
