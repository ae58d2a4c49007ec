// Reading a directory in pieces whose ends the reader chooses.
//
// Entries that were read from the kernel and did not fit into the reader's room are kept, so that
// reading on needs no seek: file systems without stable positions (tmpfs before Linux 6.6) would
// pass entries over when others were removed meanwhile.
#pragma once

#include <array>
#include <cstdint>

#include <dirent.h>

#include "base/fd.hpp"

namespace vrun::vmm {

class DirectoryStream {
 public:
  explicit DirectoryStream(Fd directory) : directory_(std::move(directory)) {}
  int fd() const { return directory_.get(); }

  // Goes to a position that an entry gave (d_off), or to 0, the start. An errno, or 0.
  int seek(std::uint64_t position);
  // Where the next entry is, for seek().
  std::uint64_t position() const { return position_; }
  // The entry at hand; null at the end, or when `error` was set. It stays until advance().
  const struct dirent64* current(int& error);
  void advance();

 private:
  Fd directory_;
  std::array<char, 8192> buffer_;
  std::size_t at_ = 0, end_ = 0;
  std::uint64_t position_ = 0;
};

}  // namespace vrun::vmm
