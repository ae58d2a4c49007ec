#include "vm/vmm/memory.hpp"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include <sys/mman.h>

#include "vm/vmm/layout.hpp"

namespace vrun::vmm {

namespace {

constexpr std::uint64_t kHugePage = 2 << 20;

Result<void> check_size(std::uint64_t size) {
  if (size != 0 && size % layout::kPage == 0) return {};
  return Error(Code::kInvalid, "memory of " + std::to_string(size) + " bytes: not whole pages");
}

// MAP_NORESERVE: tenants may promise more than there is; what is used counts in the cgroup.
Result<std::byte*> map_pages(std::uint64_t size, int flags, int fd) {
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);
  if (base == MAP_FAILED)
    return Error::system(errno, "map " + std::to_string(size >> 20) + " MiB of guest memory");
  return static_cast<std::byte*>(base);
}

}  // namespace

Result<GuestMemory> GuestMemory::make(std::uint64_t size) {
  TRY(check_size(size));
  std::byte* const wide = TRY(map_pages(size + kHugePage, MAP_PRIVATE | MAP_ANONYMOUS, -1));
  const std::uint64_t before = -reinterpret_cast<std::uintptr_t>(wide) % kHugePage;
  if (before > 0) ::munmap(wide, before);
  ::munmap(wide + before + size, kHugePage - before);
  return GuestMemory(wide + before, size);
}

Result<GuestMemory> GuestMemory::map(const Fd& fd, std::uint64_t size, bool writes_back) {
  TRY(check_size(size));
  return GuestMemory(TRY(map_pages(size, writes_back ? MAP_SHARED : MAP_PRIVATE, fd.get())), size);
}

Result<GuestMemory> GuestMemory::map_regions(const Fd& fd, std::uint64_t size,
                                             std::vector<Region> regions) {
  for (const Region& region : regions) {
    if (region.offset > size || region.size > size - region.offset ||
        region.guest + region.size < region.guest)
      return Error(Code::kInvalid, "a region of the guest's memory lies outside of its file");
  }
  GuestMemory memory = TRY(map(fd, size));
  memory.regions_ = std::move(regions);
  return memory;
}

GuestMemory::GuestMemory(std::byte* base, std::uint64_t size) : base_(base), size_(size) {
  // A core dump of the VMM is not the place for a tenant's memory.
  ::madvise(base, size, MADV_DONTDUMP);
  const std::uint64_t low = std::min(size, layout::kGap);
  regions_.push_back({.guest = 0, .offset = 0, .size = low});
  if (size > low)
    regions_.push_back({.guest = layout::kHighRam, .offset = low, .size = size - low});
}

GuestMemory::GuestMemory(GuestMemory&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      regions_(std::move(other.regions_)) {}

GuestMemory::~GuestMemory() {
  if (base_ != nullptr) ::munmap(base_, size_);
}

void GuestMemory::use_huge_pages(std::uint64_t address, std::uint64_t count) const {
  const std::uint64_t first = address & ~(kHugePage - 1);
  const std::uint64_t end = (address + count + kHugePage - 1) & ~(kHugePage - 1);
  if (std::byte* const from = at(first, end - first)) ::madvise(from, end - first, MADV_HUGEPAGE);
}

std::byte* GuestMemory::at(std::uint64_t address, std::uint64_t count) const {
  for (const Region& region : regions_) {
    if (address < region.guest) continue;
    const std::uint64_t into = address - region.guest;
    if (into <= region.size && count <= region.size - into) return base_ + region.offset + into;
  }
  return nullptr;
}

}  // namespace vrun::vmm
