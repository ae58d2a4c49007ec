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
#include <map>
#include <string>
#include <utility>

#include <sys/stat.h>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::engine {

struct TreeCopy {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;   // that the files take on disk, shared or not
  std::uint64_t shared = 0;  // of them by FICLONE
};

// The content of large files, copied before the source stands still, where blocks cannot be shared:
// what is left for the standstill is to compare, which is far quicker than to write. No time stamp
// is trusted: writes through a shared mapping leave none until the page is written back.
class Draft {
 public:
  // `dir`: empty, on the file system of the copy. What cannot be read is left for later.
  static Result<Draft> of(const Fd& from, const Fd& dir);
  // The draft of the file `st` becomes `to`/`name`; false: there is none.
  Result<bool> take(const struct stat& st, const Fd& to, const std::string& name);

 private:
  explicit Draft(Fd dir) : dir_(std::move(dir)) {}
  Result<void> add_entries(const Fd& from, dev_t device, int depth);
  Result<void> add_file(const Fd& from, const std::string& name, const struct stat& st);
  Fd dir_;
  bool shares_ = false;  // the file system shares blocks: nothing is drafted
  std::map<std::pair<dev_t, ino_t>, std::string> files_;
};

// The entries of `from`, and its own owner, mode, times and attributes, into `to`, an empty
// directory. On an error `to` holds a part, which is the caller's to remove.
Result<TreeCopy> copy_tree_exactly(const Fd& from, const Fd& to, Draft* draft = nullptr);

}  // namespace vrun::engine
