#include "vm/vmm/kernel.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <limits>

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "vm/vmm/layout.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint32_t kMagic = 0x53726448;  // "HdrS"
constexpr std::size_t kHeaderAt = 0x1f1;      // setup_header in a bzImage
constexpr std::uint8_t kUnknownLoader = 0xff;

constexpr const char* kTooSmall = "give the guest more memory (--memory)";
constexpr const char* kWhichKernels =
    "a 64-bit Linux for x86_64 as distributions ship it (/boot/vmlinuz-*), or its vmlinux";

Error invalid(const std::string& name, const std::string& what) {
  return Error(Code::kInvalid, "kernel " + quote(name) + ": " + what);
}

// Reads exactly what is asked for.
Result<void> read_at(const Fd& file, void* to, std::uint64_t count, std::uint64_t offset,
                     const std::string& name) {
  char* next = static_cast<char*>(to);
  constexpr std::uint64_t kEnd = std::numeric_limits<off_t>::max();
  if (offset > kEnd || count > kEnd - offset)
    return Error(Code::kInvalid, quote(name) + " is truncated");
  while (count > 0) {
    const ssize_t n = ::pread(file.get(), next, count, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::system(errno, "read " + quote(name));
    if (n == 0) return Error(Code::kInvalid, quote(name) + " is truncated");
    next += n;
    offset += static_cast<std::uint64_t>(n);
    count -= static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<std::uint64_t> size_of(const Fd& file) {
  return static_cast<std::uint64_t>(TRY(sys::stat(file.get())).st_size);
}

// Puts a part of a file at a place of the guest's memory.
Result<void> place(const GuestMemory& memory, const Fd& file, std::uint64_t offset,
                   std::uint64_t count, std::uint64_t address, const std::string& name) {
  std::byte* to = memory.at(address, count);
  if (to == nullptr)
    return Error(Code::kInvalid, quote(name) + " does not fit into " +
                                     std::to_string(memory.size() >> 20) + " MiB of memory")
        .hint(kTooSmall);
  return read_at(file, to, count, offset, name);
}

setup_header plain_header() {
  setup_header header{};
  header.boot_flag = 0xaa55;
  header.header = kMagic;
  header.version = 0x020f;
  header.type_of_loader = kUnknownLoader;
  header.loadflags = LOADED_HIGH;
  header.kernel_alignment = 0x1000000;
  return header;
}

Result<LoadedKernel> load_elf(const GuestMemory& memory, const Fd& file, const std::string& name) {
  Elf64_Ehdr elf;
  TRY(read_at(file, &elf, sizeof elf, 0, name));
  if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_ident[EI_DATA] != ELFDATA2LSB ||
      elf.e_machine != EM_X86_64)
    return invalid(name, "an ELF file for another machine").hint(kWhichKernels);
  if (elf.e_type != ET_EXEC || elf.e_phentsize != sizeof(Elf64_Phdr) || elf.e_phnum == 0 ||
      elf.e_phnum > 64)
    return invalid(name, "an ELF file, but no kernel").hint(kWhichKernels);

  LoadedKernel loaded;
  loaded.header = plain_header();
  loaded.entry = elf.e_entry;
  bool entry_inside = false;
  for (std::uint64_t i = 0; i < elf.e_phnum; ++i) {
    Elf64_Phdr part;
    TRY(read_at(file, &part, sizeof part, elf.e_phoff + i * sizeof part, name));
    if (part.p_type != PT_LOAD) continue;
    const std::uint64_t end = part.p_paddr + part.p_memsz;
    if (part.p_filesz > part.p_memsz || end < part.p_paddr || part.p_paddr < layout::kKernelFirst)
      return invalid(name, "segment " + std::to_string(i) + " makes no sense").hint(kWhichKernels);
    if (memory.at(part.p_paddr, part.p_memsz) == nullptr)
      return invalid(name, "needs memory up to " + std::to_string((end >> 20) + 1) +
                               " MiB, and the guest has " + std::to_string(memory.size() >> 20))
          .hint(kTooSmall);
    memory.use_huge_pages(part.p_paddr, part.p_memsz);
    TRY(place(memory, file, part.p_offset, part.p_filesz, part.p_paddr, name));
    loaded.end = std::max(loaded.end, end);
    entry_inside = entry_inside || (loaded.entry >= part.p_paddr && loaded.entry < end);
  }
  if (!entry_inside) return invalid(name, "its entry lies outside").hint(kWhichKernels);
  return loaded;
}

Result<LoadedKernel> load_bzimage(const GuestMemory& memory, const Fd& file,
                                  const std::string& name) {
  LoadedKernel loaded;
  TRY(read_at(file, &loaded.header, sizeof loaded.header, kHeaderAt, name));
  const setup_header& header = loaded.header;
  if (header.header != kMagic) return invalid(name, "no Linux kernel").hint(kWhichKernels);
  if (header.version < 0x020c || (header.xloadflags & XLF_KERNEL_64) == 0)
    return invalid(name, "has no 64-bit entry").hint(kWhichKernels);

  const std::uint64_t setup = (header.setup_sects == 0 ? 4u : header.setup_sects) + 1u;
  const std::uint64_t offset = setup * 512;
  const std::uint64_t size = TRY(size_of(file));
  if (offset >= size) return Error(Code::kInvalid, quote(name) + " is truncated");
  const std::uint64_t address = header.pref_address;
  loaded.end = address + std::max<std::uint64_t>(header.init_size, size - offset);
  if (address < layout::kKernelFirst || loaded.end < address ||
      memory.at(address, loaded.end - address) == nullptr)
    return invalid(name, "needs memory up to " + std::to_string((loaded.end >> 20) + 1) +
                             " MiB, and the guest has " + std::to_string(memory.size() >> 20))
        .hint(kTooSmall);
  memory.use_huge_pages(address, loaded.end - address);
  TRY(place(memory, file, offset, size - offset, address, name));
  loaded.header.type_of_loader = kUnknownLoader;
  loaded.entry = address + 0x200;  // boot.rst: the 64-bit entry
  return loaded;
}

void add_range(boot_params& zero_page, std::uint64_t first, std::uint64_t end, std::uint32_t type) {
  if (end <= first) return;
  zero_page.e820_table[zero_page.e820_entries++] = {
      .addr = first, .size = end - first, .type = type};
}

constexpr std::uint32_t kRam = 1, kReserved = 2;

void describe_memory(boot_params& zero_page, const GuestMemory& memory) {
  add_range(zero_page, 0, layout::kLowRamEnd, kRam);
  add_range(zero_page, layout::kLowRamEnd, layout::kAcpiEnd, kReserved);
  for (const GuestMemory::Region& region : memory.regions())
    add_range(zero_page, std::max(region.guest, layout::kAcpiEnd), region.guest + region.size,
              kRam);
  // Linux uses this window only where the map says that nobody else does.
  add_range(zero_page, layout::kEcam, layout::kEcam + layout::kEcamSize, kReserved);
}

// As high as it may lie, below the devices: the kernel keeps its own surroundings free.
Result<void> place_initrd(const GuestMemory& memory, const BootFiles& files,
                          boot_params& zero_page) {
  const std::uint64_t size = TRY(size_of(*files.initrd));
  const std::uint64_t low_end = memory.regions().front().size;
  if (size == 0) return Error(Code::kInvalid, "initrd " + quote(files.initrd_name) + " is empty");
  const std::uint64_t room = low_end > files.kernel.end ? low_end - files.kernel.end : 0;
  if (size + layout::kPage > room)
    return Error(Code::kInvalid, "initrd " + quote(files.initrd_name) + " of " +
                                     std::to_string((size >> 20) + 1) +
                                     " MiB does not fit behind the kernel")
        .hint(kTooSmall);
  const std::uint64_t address = (low_end - size) & ~(layout::kPage - 1);
  TRY(place(memory, *files.initrd, 0, size, address, files.initrd_name));
  zero_page.hdr.ramdisk_image = static_cast<std::uint32_t>(address);
  zero_page.hdr.ramdisk_size = static_cast<std::uint32_t>(size);
  return {};
}

}  // namespace

Result<LoadedKernel> load_kernel(const GuestMemory& memory, const Fd& file,
                                 const std::string& name) {
  unsigned char magic[SELFMAG] = {};
  TRY(read_at(file, magic, sizeof magic, 0, name));
  if (std::memcmp(magic, ELFMAG, SELFMAG) == 0) return load_elf(memory, file, name);
  return load_bzimage(memory, file, name);
}

Result<void> write_boot_files(const GuestMemory& memory, const BootFiles& files) {
  boot_params zero_page{};
  zero_page.hdr = files.kernel.header;
  describe_memory(zero_page, memory);
  if (files.initrd != nullptr) TRY(place_initrd(memory, files, zero_page));

  if (files.command_line.size() >= layout::kCommandLineMost)
    return Error(Code::kInvalid,
                 "the kernel's command line has " + std::to_string(files.command_line.size()) +
                     " bytes; it may have " + std::to_string(layout::kCommandLineMost - 1));
  std::byte* line = memory.at(layout::kCommandLine, files.command_line.size() + 1);
  if (line == nullptr) return Error(Code::kInvalid, "the guest's memory is too small");
  std::memcpy(line, files.command_line.c_str(), files.command_line.size() + 1);
  zero_page.hdr.cmd_line_ptr = static_cast<std::uint32_t>(layout::kCommandLine);
  zero_page.hdr.cmdline_size = static_cast<std::uint32_t>(files.command_line.size());
  zero_page.acpi_rsdp_addr = layout::kAcpi;
  if (!memory.write(layout::kZeroPage, zero_page))
    return Error(Code::kInvalid, "the guest's memory is too small");
  return {};
}

}  // namespace vrun::vmm
