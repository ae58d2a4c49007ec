#include "images/transfer/meter.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <new>

#include <sys/mman.h>

namespace vrun::images {
namespace {

void unmap(Meter* meter) {
  ::munmap(static_cast<void*>(meter), sizeof(Meter));
}

}  // namespace

Result<std::shared_ptr<Meter>> Meter::create(std::uint64_t bytes) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / 2);
  void* const memory =
      ::mmap(nullptr, sizeof(Meter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Error::system(errno, "map memory");
  return std::shared_ptr<Meter>(new (memory) Meter(std::min(bytes, kMost)), &unmap);
}

Result<void> Meter::take(std::uint64_t bytes) {
  constexpr std::uint64_t kMost = 1ULL << 60U;  // sums of these do not run over
  const auto wanted = static_cast<std::int64_t>(std::min(bytes, kMost));
  std::int64_t left = left_.load();
  while (left >= wanted) {
    if (left_.compare_exchange_weak(left, left - wanted)) return {};
  }
  refused_ = true;
  return Error::system(EDQUOT, "the tenant's disk budget has no room for more images")
      .hint(
          "images count in it whole: remove images (rmi), guests or volumes, or let root raise "
          "--disk");
}

std::uint64_t Meter::left() const {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, left_.load()));
}

Result<void> take(Meter* meter, std::uint64_t bytes) {
  return meter == nullptr ? Result<void>() : meter->take(bytes);
}

}  // namespace vrun::images
