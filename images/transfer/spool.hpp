// A folder of one command inside the store, on the store's filesystem: for what is not verified
// yet.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "images/store.hpp"
#include "oci/image.hpp"

namespace vrun::images {

// Removed on drop; when the command dies, by the next one's Store::sweep().
class Spool {
 public:
  static Result<Spool> create(const Store& store);
  Spool(Spool&& other) noexcept;
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;
  Spool& operator=(Spool&&) = delete;
  ~Spool();

  // Ours alone: what comes out of an archive goes into a folder in it, so that no link of the
  // archive's stands in the way of our own files.
  const Fd& dir() const { return dir_; }
  const std::string& path() const { return path_; }

  // The spool as an OCI layout: blobs/sha256/HEX. The file's digest and size are the descriptor's.
  Result<oci::Descriptor> add_file(const Fd& file, const std::string& media_type) const;
  Result<oci::Descriptor> add_bytes(const std::string& bytes, const std::string& media_type) const;

 private:
  Spool(const Store& store, Fd lock, Fd dir, std::string name, std::string path)
      : store_(&store),
        lock_(std::move(lock)),
        dir_(std::move(dir)),
        name_(std::move(name)),
        path_(std::move(path)) {}
  const Store* store_;
  Fd lock_, dir_;
  std::string name_, path_;
};

// A regular file below a directory of foreign making: links in it are followed inside it only.
Result<Fd> open_inside(const Fd& dir, const std::string& path);
// The same without following any link.
Result<Fd> open_unlinked(const Fd& dir, const std::string& path, int flags);

// The digest of the rest of a file.
Result<oci::Digest> digest_of(const Fd& file);

}  // namespace vrun::images
