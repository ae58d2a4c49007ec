// What lies on a disk: by its first bytes, as far as it takes to boot it. Everything read here was
// written by whoever made the image: it is bounded and checked, and names at most a partition.
#pragma once

#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::vm {

struct RootPlace {
  unsigned partition = 0;  // 0: the whole disk
  std::string type;        // of the file system: ext4 (also ext2 and ext3), xfs, btrfs
  bool operator==(const RootPlace&) const = default;
};

// The whole disk, else the partition that says so (GPT: "Linux root (x86-64)"), else the first with
// a file system that can be a root.
Result<std::optional<RootPlace>> find_root(const Fd& disk);

// The name of an ext4 file system on the whole disk; empty: none, or another file system.
Result<std::string> volume_name(const Fd& disk);

// "qcow2", "vmdk" ... for what is no raw image; else empty.
Result<std::string> foreign_format(const Fd& disk);

}  // namespace vrun::vm
