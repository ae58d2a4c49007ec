// Files that are to be kernels: what loads them, and what unpacks them before.
#include <unistd.h>

#include "base/sys.hpp"
#include "tests/fuzz/hostile_guest.hpp"
#include "vm/kernels/decompress.hpp"
#include "vm/kernels/vmlinux.hpp"
#include "vm/vmm/kernel.hpp"

using namespace vrun;

namespace {

constexpr std::uint64_t kMemory = 8 << 20;
constexpr std::size_t kMostUnpacked = 4 << 20;

Fd file_of(std::string_view bytes) {
  Fd file = *sys::memfd("fuzz-kernel");
  fuzz::require(sys::write_all(file.get(), bytes).has_value());
  fuzz::require(::lseek(file.get(), 0, SEEK_SET) == 0);
  return file;
}

void load(std::string_view bytes) {
  static const vmm::GuestMemory memory = *vmm::GuestMemory::make(kMemory);
  const Fd file = file_of(bytes);
  const Result<vmm::LoadedKernel> kernel = vmm::load_kernel(memory, file, "kernel");
  if (!kernel) {
    fuzz::require(!kernel.error().text().empty());
    return;
  }
  fuzz::require(kernel->entry < kMemory + 0x200 && kernel->end <= kMemory);
  static_cast<void>(vmm::write_boot_files(
      memory,
      {.kernel = *kernel, .initrd = &file, .initrd_name = "initrd", .command_line = "quiet"}));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = fuzz::text_of(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      load(bytes);
      break;
    case 1:
      static_cast<void>(vm::vmlinux_of(bytes));
      break;
    case 2:
      static_cast<void>(vm::release_of(bytes));
      break;
    default:
      if (const auto packing = vm::packing_of(bytes)) {
        const Result<std::string> content = vm::decompress(*packing, bytes, kMostUnpacked);
        fuzz::require(!content || content->size() <= kMostUnpacked);
      }
      break;
  }
  return 0;
}
