// `vrun image build-disk`: a disk image, bootable by `run --isolation vm --disk`, of a directory or
// an image: an ext4 file system on the whole disk, made by mkfs.ext4 without mounting anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

struct BuildDisk {
  std::string from;        // a directory, when it has a slash; else an image
  std::string output;      // the file; it may not be there yet
  std::string kernel;      // whose modules go in (`vm kernel ls`); empty: the default one
  std::uint64_t size = 0;  // bytes; 0: what is in it, a quarter more, and 1 GiB
  bool autologin = false;  // root on the console, without a password
};
// Needs root. The file is there whole or not at all. kExists: something has that name; kInvalid:
// the tree has no init, or does not fit.
Result<void> build_disk(const Guests& guests, const BuildDisk& wish);

}  // namespace vrun::engine
