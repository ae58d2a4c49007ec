// Files into an archive or a folder: what `save` writes.
#pragma once

#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::images {

// Paths are relative, short (below 100 bytes) and of our own making.
class ArchiveWriter {
 public:
  ArchiveWriter() = default;
  ArchiveWriter(const ArchiveWriter&) = delete;
  ArchiveWriter& operator=(const ArchiveWriter&) = delete;
  virtual ~ArchiveWriter() = default;
  virtual Result<void> add(const std::string& path, const std::string& bytes) = 0;
  // From the file's current offset on, exactly `size` bytes.
  virtual Result<void> add(const std::string& path, const Fd& file, std::uint64_t size) = 0;
  virtual Result<void> finish() = 0;
};

// A POSIX tar (ustar) of regular files, owner 0, time 0: the same content gives the same bytes.
std::unique_ptr<ArchiveWriter> tar_writer(const Fd& out);
// Files below a directory, each of which must not exist yet.
std::unique_ptr<ArchiveWriter> folder_writer(const Fd& dir);

}  // namespace vrun::images
