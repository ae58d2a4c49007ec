#include "vm/vmm/memory_file.hpp"

#include <algorithm>
#include <cerrno>
#include <string>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/vmm/layout.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kMostAtOnce = 8 << 20;

bool is_zero(const std::byte* page) {
  // It is zero where it begins with a zero and equals itself one byte further on.
  return page[0] == std::byte{0} && std::memcmp(page, page + 1, layout::kPage - 1) == 0;
}

Result<void> write_at(const Fd& file, const std::byte* from, std::uint64_t count,
                      std::uint64_t at) {
  while (count > 0) {
    const ssize_t put = ::pwrite(file.get(), from, count, static_cast<off_t>(at));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Error::system(errno, "write the guest's memory");
    from += put;
    count -= static_cast<std::uint64_t>(put);
    at += static_cast<std::uint64_t>(put);
  }
  return {};
}

// Runs of pages that are something, each in one write.
Result<std::uint64_t> write_region(const std::byte* base, std::uint64_t size, std::uint64_t offset,
                                   const Fd& file) {
  std::uint64_t written = 0;
  for (std::uint64_t at = 0; at < size;) {
    if (is_zero(base + at)) {
      at += layout::kPage;
      continue;
    }
    std::uint64_t end = at + layout::kPage;
    while (end < size && end - at < kMostAtOnce && !is_zero(base + end))
      end += layout::kPage;
    TRY(write_at(file, base + at, end - at, offset + at));
    written += end - at;
    at = end;
  }
  return written;
}

}  // namespace

Result<std::uint64_t> write_memory(const GuestMemory& memory, const Fd& file) {
  if (::ftruncate(file.get(), static_cast<off_t>(memory.size())) != 0)
    return Error::system(errno, "size the file of the guest's memory");
  std::uint64_t written = 0;
  for (const GuestMemory::Region& region : memory.regions())
    written += TRY(write_region(memory.host(region), region.size, region.offset, file));
  return written;
}

Result<GuestMemory> map_snapshot(const Fd& file, std::uint64_t size) {
  const struct stat facts = TRY(sys::stat(file.get()));
  if (!S_ISREG(facts.st_mode) || static_cast<std::uint64_t>(facts.st_size) != size)
    return Error(Code::kInvalid, "the file of the guest's memory has " +
                                     std::to_string(facts.st_size) + " bytes, not " +
                                     std::to_string(size));
  return GuestMemory::map(file, size, false);
}

}  // namespace vrun::vmm
