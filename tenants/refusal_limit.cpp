#include "tenants/refusal_limit.hpp"

#include <bit>
#include <cerrno>
#include <new>

#include <sys/mman.h>

namespace vrun::tenants {
namespace {

bool is_noted(std::uint32_t count, std::uint32_t all_below) {
  return count <= all_below || std::has_single_bit(count);
}

}  // namespace

void RefusalLimit::Unmap::operator()(Counts* counts) const {
  ::munmap(counts, sizeof(Counts));
}

Result<RefusalLimit> RefusalLimit::create() {
  void* const at =
      ::mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return Error::system(errno, "share the counts of refusals");
  return RefusalLimit(new (at) Counts());
}

std::optional<std::uint32_t> RefusalLimit::next(Uid uid, std::int64_t now_seconds) {
  constexpr std::uint32_t kOfOne = 20, kOfAll = 500;
  const std::int64_t hour = now_seconds / 3600;
  // Two at the turn of the hour may count a little wrong, which matters to nobody.
  if (counts_->hour.exchange(hour) != hour) {
    counts_->all = 0;
    for (std::atomic<std::uint32_t>& one : counts_->of_users)
      one = 0;
  }
  const std::uint32_t own = ++counts_->of_users[uid.value % kSlots];
  const std::uint32_t all = ++counts_->all;
  if (!is_noted(own, kOfOne) || !is_noted(all, kOfAll)) return std::nullopt;
  return own;
}

}  // namespace vrun::tenants
