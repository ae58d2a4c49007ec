#include "vm/kernels/vmlinux.hpp"

#include <cstdint>
#include <cstring>

#include <asm/bootparam.h>
#include <elf.h>

#include "vm/kernels/decompress.hpp"

namespace vrun::vm {
namespace {

constexpr std::size_t kMost = 512 << 20;
constexpr std::size_t kHeaderAt = 0x1f1;  // Documentation/x86/boot.rst
constexpr std::uint32_t kMagic = 0x53726448;
constexpr std::string_view kElf =
    "\x7f"
    "ELF";

bool read_header(std::string_view file, setup_header& header) {
  if (file.size() < kHeaderAt + sizeof header) return false;
  std::memcpy(&header, file.data() + kHeaderAt, sizeof header);
  return header.header == kMagic;
}

}  // namespace

Result<std::string> vmlinux_of(std::string_view file) {
  if (file.starts_with(kElf)) return std::string(file);
  setup_header header;
  if (!read_header(file, header)) return Error(Code::kInvalid, "no Linux kernel for x86");
  if (header.version < 0x0208)
    return Error(Code::kUnsupported,
                 "a kernel older than Linux 2.6.26 does not say where its "
                 "content is");
  const std::uint64_t setup = (header.setup_sects == 0 ? 4u : header.setup_sects) + 1u;
  const std::uint64_t start = setup * 512 + header.payload_offset;
  if (start > file.size() || header.payload_length > file.size() - start)
    return Error(Code::kInvalid, "the file is truncated");
  const std::string_view payload = file.substr(start, header.payload_length);
  const auto packing = packing_of(payload);
  if (!packing)
    return Error(Code::kUnsupported,
                 "its content is packed by something else than gzip, xz, lz4 "
                 "or zstd");
  std::string elf = TRY(decompress(*packing, payload, kMost));
  if (!elf.starts_with(kElf)) return Error(Code::kInvalid, "its content is no ELF file");
  return elf;
}

Result<void> check_kernel(std::string_view elf) {
  Elf64_Ehdr header;
  if (elf.size() < sizeof header) return Error(Code::kInvalid, "the file is truncated");
  std::memcpy(&header, elf.data(), sizeof header);
  const bool fits = header.e_ident[EI_CLASS] == ELFCLASS64 &&
                    header.e_ident[EI_DATA] == ELFDATA2LSB && header.e_machine == EM_X86_64;
  if (!fits) return Error(Code::kInvalid, "a kernel for another machine, and x86-64 is wanted");
  bool loads = false;
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
    const std::uint64_t at = header.e_phoff + i * sizeof(Elf64_Phdr);
    Elf64_Phdr part;
    if (at < header.e_phoff || at > elf.size() || elf.size() - at < sizeof part)
      return Error(Code::kInvalid, "the file is truncated");
    std::memcpy(&part, elf.data() + at, sizeof part);
    if (part.p_type == PT_INTERP) return Error(Code::kInvalid, "a program, no kernel");
    if (part.p_type != PT_LOAD) continue;
    loads = true;
    if (part.p_offset > elf.size() || elf.size() - part.p_offset < part.p_filesz)
      return Error(Code::kInvalid, "the file is truncated");
  }
  if (loads) return {};
  return Error(Code::kInvalid, "an ELF file that nothing is loaded of, no kernel");
}

std::string release_of(std::string_view file) {
  if (file.starts_with(kElf)) {
    constexpr std::string_view kBanner = "Linux version ";
    const std::size_t at = file.find(kBanner);
    if (at == file.npos) return {};
    const std::string_view rest = file.substr(at + kBanner.size(), 128);
    return std::string(rest.substr(0, rest.find(' ')));
  }
  setup_header header;
  if (!read_header(file, header) || header.kernel_version == 0) return {};
  const std::size_t at = header.kernel_version + 0x200u;
  if (at >= file.size()) return {};
  const std::string_view rest = file.substr(at, 128);
  return std::string(rest.substr(0, rest.find_first_of(std::string_view(" \0", 2))));
}

}  // namespace vrun::vm
