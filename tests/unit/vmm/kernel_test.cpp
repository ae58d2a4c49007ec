#include "vm/vmm/kernel.hpp"

#include <cstring>
#include <string>

#include <elf.h>

#include "tests/unit/vmm/guest_memory.hpp"
#include "vm/vmm/layout.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kMib = 1 << 20;

Fd file_of(std::string_view bytes) {
  Fd fd = *sys::memfd("test-kernel");
  EXPECT_TRUE(sys::write_all(fd.get(), bytes).has_value());
  return fd;
}

struct ElfFile {
  Elf64_Ehdr header{};
  Elf64_Phdr part{};
  std::string content = std::string(3 * layout::kPage + 100, 'k');

  ElfFile() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_entry = 16 * kMib;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof part;
    header.e_phnum = 1;
    part.p_type = PT_LOAD;
    part.p_offset = layout::kPage;
    part.p_paddr = 16 * kMib;
    part.p_filesz = content.size();
    part.p_memsz = content.size() + layout::kPage;
  }
  std::string bytes() const {
    std::string out(layout::kPage, '\0');
    std::memcpy(out.data(), &header, sizeof header);
    std::memcpy(out.data() + sizeof header, &part, sizeof part);
    return out + content + "behind";
  }
};

TEST(Kernel, an_elf_lies_where_it_says) {
  const GuestMemory memory = memory_of(32 * kMib);
  const Result<LoadedKernel> loaded = load_kernel(memory, file_of(ElfFile().bytes()), "vmlinux");
  ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
  EXPECT_EQ(loaded->entry, 16 * kMib);
  EXPECT_EQ(loaded->end, 16 * kMib + 4 * layout::kPage + 100);
  EXPECT_EQ(memory.read<char>(16 * kMib), 'k');
  EXPECT_EQ(memory.read<char>(16 * kMib + 3 * layout::kPage + 99), 'k');
  EXPECT_EQ(memory.read<char>(16 * kMib + 3 * layout::kPage + 100), '\0')
      << "what lies behind the segment in the file must not be seen";
}

struct Fault {
  const char* name;
  void (*spoil)(ElfFile&);
  const char* word;
};

class FaultyKernel : public testing::TestWithParam<Fault> {};

TEST_P(FaultyKernel, is_refused_with_the_reason) {
  ElfFile file;
  GetParam().spoil(file);
  const GuestMemory memory = memory_of(32 * kMib);
  const Result<LoadedKernel> loaded = load_kernel(memory, file_of(file.bytes()), "vmlinux");
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code(), Code::kInvalid);
  EXPECT_NE(loaded.error().text().find(GetParam().word), std::string::npos)
      << loaded.error().text();
}

const Fault kFaults[] = {
    {"other_machine", [](ElfFile& f) { f.header.e_machine = EM_AARCH64; }, "another machine"},
    {"thirty_two_bits", [](ElfFile& f) { f.header.e_ident[EI_CLASS] = ELFCLASS32; },
     "another machine"},
    {"a_library", [](ElfFile& f) { f.header.e_type = ET_DYN; }, "no kernel"},
    {"no_segments", [](ElfFile& f) { f.header.e_phnum = 0; }, "no kernel"},
    {"too_many_segments", [](ElfFile& f) { f.header.e_phnum = 65535; }, "no kernel"},
    {"headers_beyond_the_end", [](ElfFile& f) { f.header.e_phoff = 1ull << 40; }, "truncated"},
    {"headers_that_wrap", [](ElfFile& f) { f.header.e_phoff = ~0ull - 3; }, "vmlinux"},
    {"segment_beyond_memory", [](ElfFile& f) { f.part.p_memsz = 64 * kMib; }, "needs memory"},
    {"segment_that_wraps", [](ElfFile& f) { f.part.p_memsz = ~0ull - kMib; }, "makes no sense"},
    {"segment_over_our_tables", [](ElfFile& f) { f.part.p_paddr = 0x7000; }, "makes no sense"},
    {"more_in_file_than_in_memory", [](ElfFile& f) { f.part.p_memsz = 1; }, "makes no sense"},
    {"entry_outside", [](ElfFile& f) { f.header.e_entry = 8 * kMib; }, "entry lies outside"},
    {"truncated", [](ElfFile& f) { f.content.resize(10); }, "truncated"},
};

INSTANTIATE_TEST_SUITE_P(Kernel, FaultyKernel, testing::ValuesIn(kFaults),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Kernel, what_is_none_is_said_to_be_none) {
  const GuestMemory memory = memory_of(32 * kMib);
  EXPECT_NE(load_kernel(memory, file_of("short"), "x").error().text().find("truncated"),
            std::string::npos);
  EXPECT_NE(load_kernel(memory, file_of(std::string(100000, 'x')), "x")
                .error()
                .text()
                .find("no Linux kernel"),
            std::string::npos);
}

std::string bzimage(std::uint16_t version, std::uint16_t flags) {
  std::string bytes(8192, '\0');
  setup_header header{};
  header.setup_sects = 1;
  header.header = 0x53726448;
  header.version = version;
  header.xloadflags = flags;
  header.pref_address = 16 * kMib;
  header.init_size = 2 * kMib;
  std::memcpy(bytes.data() + 0x1f1, &header, sizeof header);
  bytes[1024] = 'B';
  return bytes;
}

TEST(Kernel, a_bzimage_is_entered_at_its_64_bit_entry) {
  const GuestMemory memory = memory_of(32 * kMib);
  const Result<LoadedKernel> loaded =
      load_kernel(memory, file_of(bzimage(0x020f, XLF_KERNEL_64)), "vmlinuz");
  ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
  EXPECT_EQ(loaded->entry, 16 * kMib + 0x200);
  EXPECT_EQ(memory.read<char>(16 * kMib), 'B');
  EXPECT_EQ(loaded->end, 18 * kMib);
}

TEST(Kernel, a_bzimage_needs_a_64_bit_entry_and_room) {
  const GuestMemory small = memory_of(17 * kMib);
  EXPECT_NE(load_kernel(small, file_of(bzimage(0x020f, XLF_KERNEL_64)), "x")
                .error()
                .text()
                .find("needs memory"),
            std::string::npos);
  const GuestMemory memory = memory_of(32 * kMib);
  EXPECT_NE(load_kernel(memory, file_of(bzimage(0x020f, 0)), "x").error().text().find("64-bit"),
            std::string::npos);
  EXPECT_NE(load_kernel(memory, file_of(bzimage(0x0200, XLF_KERNEL_64)), "x")
                .error()
                .text()
                .find("64-bit"),
            std::string::npos);
}

TEST(BootFiles, the_zero_page_tells_of_memory_initrd_and_command_line) {
  const GuestMemory memory = memory_of(64 * kMib);
  const LoadedKernel kernel = *load_kernel(memory, file_of(ElfFile().bytes()), "vmlinux");
  const Fd initrd = file_of(std::string(5000, 'i'));
  ASSERT_TRUE(
      write_boot_files(
          memory,
          {.kernel = kernel, .initrd = &initrd, .initrd_name = "initrd", .command_line = "quiet"})
          .has_value());
  const boot_params zero = *memory.read<boot_params>(layout::kZeroPage);
  EXPECT_EQ(zero.hdr.ramdisk_size, 5000u);
  EXPECT_EQ(zero.hdr.ramdisk_image % layout::kPage, 0u);
  EXPECT_EQ(memory.read<char>(zero.hdr.ramdisk_image + 4999u), 'i');
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(memory.at(zero.hdr.cmd_line_ptr, 6))),
            "quiet");
  std::uint64_t ram = 0;
  for (int i = 0; i < zero.e820_entries; ++i) {
    if (zero.e820_table[i].type == 1) ram += zero.e820_table[i].size;
  }
  EXPECT_EQ(ram, 64 * kMib - (layout::kAcpiEnd - layout::kLowRamEnd));
}

TEST(BootFiles, what_does_not_fit_is_refused) {
  const GuestMemory memory = memory_of(32 * kMib);
  const LoadedKernel kernel = *load_kernel(memory, file_of(ElfFile().bytes()), "vmlinux");
  const Fd large = file_of(std::string(17 * kMib, 'i'));
  EXPECT_NE(
      write_boot_files(
          memory, {.kernel = kernel, .initrd = &large, .initrd_name = "big", .command_line = ""})
          .error()
          .text()
          .find("does not fit"),
      std::string::npos);
  EXPECT_FALSE(write_boot_files(memory, {.kernel = kernel,
                                         .initrd = nullptr,
                                         .initrd_name = "",
                                         .command_line = std::string(2048, 'x')})
                   .has_value());
}

}  // namespace
}  // namespace vrun::vmm
