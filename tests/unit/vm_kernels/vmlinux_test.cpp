#include "vm/kernels/vmlinux.hpp"

#include <cstring>
#include <string>

#include <asm/bootparam.h>
#include <elf.h>
#include <gtest/gtest.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "vm/kernels/decompress.hpp"

namespace vrun::vm {
namespace {

const std::string kElf =
    "\x7f"
    "ELF" +
    std::string(100000, 'e');

std::string pack(Packing packing, const std::string& text) {
  std::string out(text.size() + 1000, '\0');
  switch (packing) {
    case Packing::kGzip: {
      z_stream stream{};
      ::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
      stream.avail_in = static_cast<uInt>(text.size());
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      ::deflate(&stream, Z_FINISH);
      out.resize(stream.total_out);
      ::deflateEnd(&stream);
      return out;
    }
    case Packing::kXz: {
      std::size_t used = 0;
      ::lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, nullptr,
                                reinterpret_cast<const std::uint8_t*>(text.data()), text.size(),
                                reinterpret_cast<std::uint8_t*>(out.data()), &used, out.size());
      out.resize(used);
      return out;
    }
    case Packing::kLz4: {
      const int size =
          ::LZ4_compress_default(text.data(), out.data() + 8, static_cast<int>(text.size()),
                                 static_cast<int>(out.size() - 8));
      std::memcpy(out.data(), "\x02\x21\x4c\x18", 4);
      std::memcpy(out.data() + 4, &size, 4);
      out.resize(8 + static_cast<std::size_t>(size));
      return out;
    }
    case Packing::kZstd:
      out.resize(::ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 1));
      return out;
  }
  return {};
}

std::string bzimage(std::string payload) {
  const auto size = static_cast<std::uint32_t>(payload.size());
  payload.append(reinterpret_cast<const char*>(&size), 4);  // as the kernel's build does
  std::string file(1024 + 64, '\0');
  setup_header header{};
  header.setup_sects = 1;
  header.header = 0x53726448;
  header.version = 0x020f;
  header.payload_offset = 64;
  header.payload_length = static_cast<std::uint32_t>(payload.size());
  header.kernel_version = 0x100;
  std::memcpy(file.data() + 0x1f1, &header, sizeof header);
  std::memcpy(file.data() + 0x300, "6.1.0-test (builder) #1", 23);
  return file + payload;
}

class Packed : public testing::TestWithParam<Packing> {};

TEST_P(Packed, content_comes_back) {
  const auto elf = vmlinux_of(bzimage(pack(GetParam(), kElf)));
  ASSERT_TRUE(elf.has_value()) << elf.error().text();
  EXPECT_TRUE(*elf == kElf);
}

TEST_P(Packed, damage_is_an_error) {
  std::string packed = pack(GetParam(), kElf);
  packed.resize(packed.size() / 2);
  EXPECT_FALSE(vmlinux_of(bzimage(packed)).has_value());
}

TEST_P(Packed, more_than_allowed_is_refused) {
  const auto unpacked =
      decompress(GetParam(), pack(GetParam(), std::string(6 << 20, 'x')), 1 << 20);
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_NE(unpacked.error().text().find("more than 1 MiB"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Vmlinux, Packed,
                         testing::Values(Packing::kGzip, Packing::kXz, Packing::kLz4,
                                         Packing::kZstd));

TEST(Vmlinux, an_elf_is_taken_as_it_is) {
  EXPECT_TRUE(*vmlinux_of(kElf) == kElf);
}

TEST(Vmlinux, what_is_no_kernel_is_refused) {
  EXPECT_NE(vmlinux_of("hello").error().text().find("no Linux kernel"), std::string::npos);
  EXPECT_EQ(vmlinux_of(bzimage("BZh9....")).error().code(), Code::kUnsupported);
  const std::string whole = bzimage(pack(Packing::kZstd, kElf));
  EXPECT_NE(vmlinux_of(whole.substr(0, whole.size() - 10)).error().text().find("truncated"),
            std::string::npos);
  EXPECT_NE(vmlinux_of(bzimage(pack(Packing::kZstd, "text"))).error().text().find("no ELF"),
            std::string::npos);
}

// One part to load, as long as the file.
std::string elf_for(std::uint16_t machine, std::uint32_t part_type, std::uint64_t part_bytes) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = machine;
  header.e_phoff = sizeof header;
  header.e_phnum = 1;
  Elf64_Phdr part{};
  part.p_type = part_type;
  part.p_filesz = part_bytes;
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) +
         std::string(reinterpret_cast<const char*>(&part), sizeof part);
}

TEST(Vmlinux, what_another_machine_boots_or_none_is_told) {
  constexpr std::size_t kWhole = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
  EXPECT_TRUE(check_kernel(elf_for(EM_X86_64, PT_LOAD, kWhole)).has_value());
  const auto why = [](const std::string& elf) { return check_kernel(elf).error().text(); };
  EXPECT_EQ(why(elf_for(EM_AARCH64, PT_LOAD, kWhole)),
            "a kernel for another machine, and x86-64 is wanted");
  EXPECT_EQ(why(elf_for(EM_X86_64, PT_INTERP, kWhole)), "a program, no kernel");
  EXPECT_EQ(why(elf_for(EM_X86_64, PT_NOTE, kWhole)),
            "an ELF file that nothing is loaded of, no kernel");
  EXPECT_EQ(why(elf_for(EM_X86_64, PT_LOAD, kWhole + 1)), "the file is truncated");
  EXPECT_EQ(why(elf_for(EM_X86_64, PT_LOAD, kWhole).substr(0, kWhole - 1)),
            "the file is truncated");
  EXPECT_EQ(why(kElf.substr(0, 20)), "the file is truncated");
}

TEST(Vmlinux, the_release_is_read_from_both_forms) {
  EXPECT_EQ(release_of(bzimage("x")), "6.1.0-test");
  EXPECT_EQ(release_of("\x7f"
                       "ELF...Linux version 6.12.1-cloud (gcc)"),
            "6.12.1-cloud");
  EXPECT_EQ(release_of("nothing"), "");
}

}  // namespace
}  // namespace vrun::vm
