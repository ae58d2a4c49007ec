// What a system needs on a disk beyond its own files: pure, as commands of debugfs(8), which
// changes a file system that nobody has mounted.
#pragma once

#include <string>
#include <vector>

namespace vrun::engine {

// One thing to be put in; directories above it are made.
struct DiskExtra {
  enum class Kind { kDirectory, kFile, kLink } kind = Kind::kFile;
  std::string path;    // inside, without links in it
  std::string source;  // of a file: on the host, of a link: where it leads
  unsigned mode = 0644;
  bool replaces = false;  // what is there goes
};

// Paths with characters that debugfs cannot take are left to the caller: is_plain_path().
std::string debugfs_script(const std::vector<DiskExtra>& extras);
bool is_plain_path(const std::string& path);

}  // namespace vrun::engine
