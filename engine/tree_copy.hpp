// A directory tree copied as it is, on one host: what snapshots and clones are made of.
//
// Content is shared with the source where the file system can (FICLONE: btrfs, xfs), else copied
// without its holes. Hard links, owners, modes, times, all extended attributes (those of overlayfs
// and file capabilities included), whiteouts and other devices, fifos and sockets survive. Names
// are reached by descriptors and no link is followed, so a tree whose owner changes it meanwhile
// leads nowhere else; what vanishes meanwhile is left out. What is mounted in the tree is not
// entered. Needs the rights of who may make such files: root, or root of a user namespace.
#pragma once

#include <cstdint>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::engine {

struct TreeCopy {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;   // that the files take on disk, shared or not
  std::uint64_t shared = 0;  // of them by FICLONE
};

// The entries of `from`, and its own owner, mode, times and attributes, into `to`, an empty
// directory. On an error `to` holds a part, which is the caller's to remove.
Result<TreeCopy> copy_tree_exactly(const Fd& from, const Fd& to);

}  // namespace vrun::engine
