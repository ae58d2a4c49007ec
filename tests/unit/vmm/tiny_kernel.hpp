// A kernel of some instructions, entered in 64-bit mode with the first 4 GiB mapped as they lie.
#pragma once

#include <cstring>
#include <span>
#include <string>

#include <elf.h>
#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "vm/vmm/layout.hpp"

namespace vrun::vmm {

inline constexpr std::uint64_t kTinyEntry = 16 << 20;

inline Fd tiny_kernel(std::span<const unsigned char> code) {
  std::string bytes(layout::kPage, '\0');
  Elf64_Ehdr header{};
  Elf64_Phdr part{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_entry = kTinyEntry;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof part;
  header.e_phnum = 1;
  part.p_type = PT_LOAD;
  part.p_offset = layout::kPage;
  part.p_paddr = kTinyEntry;
  part.p_filesz = part.p_memsz = code.size();
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &part, sizeof part);
  bytes.append(reinterpret_cast<const char*>(code.data()), code.size());
  Fd fd = *sys::memfd("test-kernel");
  EXPECT_TRUE(sys::write_all(fd.get(), bytes).has_value());
  return fd;
}

}  // namespace vrun::vmm
