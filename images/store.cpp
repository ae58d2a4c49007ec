#include "images/store.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

Result<Fd> open_made(const std::string& path) {
  TRY(fs::make_dirs(At::cwd(), path, 0700));
  return sys::open_dir(At::cwd(), path);
}

Result<Fd> open_store_lock(const std::string& data_dir) {
  return sys::open(At::cwd(), fs::join(data_dir, "images/lock"), O_RDWR | O_CREAT | O_NOFOLLOW,
                   0600);
}

bool is_there(const Fd& dir, const std::string& name) {
  return sys::stat(dir, name, AT_SYMLINK_NOFOLLOW).has_value();
}

}  // namespace

std::string unfinished_name(const oci::Digest& digest) {
  return unfinished_name(digest.hex);
}

std::string unfinished_name(const std::string& key) {
  return std::string(kUnfinished) + key;
}

Result<Store> Store::open(const std::string& data_dir) {
  const std::string images = fs::join(data_dir, "images");
  Fd layers = TRY(open_made(fs::join(images, "layers")));
  Fd locks = TRY(open_made(fs::join(images, "locks")));
  Fd blobs = TRY(open_made(fs::join(images, "blobs/sha256")));
  return Store(data_dir, std::move(blobs), std::move(layers), std::move(locks));
}

bool Store::has_layer(const oci::Digest& diff_id) const {
  return is_there(layers_, diff_id.hex);
}

bool Store::has_blob(const oci::Digest& digest) const {
  return is_there(blobs_, digest.hex);
}

Result<Fd> Store::open_layer(const oci::Digest& diff_id) const {
  return sys::open(layers_, diff_id.hex, O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

Result<Fd> Store::lock(const std::string& key) const {
  Fd file = TRY(sys::open(locks_, key, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY(sys::lock(file.get(), LOCK_EX, "image store"));
  return file;
}

Result<std::optional<Fd>> Store::try_lock(const std::string& key) const {
  Fd file = TRY(sys::open(locks_, key, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return std::optional(std::move(file));
  if (errno == EWOULDBLOCK) return std::optional<Fd>();
  return Error::system(errno, "lock image store");
}

Result<Fd> Store::use() const {
  Fd file = TRY(open_store_lock(data_dir_));
  TRY(sys::lock(file.get(), LOCK_SH, "image store"));
  return file;
}

Result<std::optional<Fd>> Store::try_own() const {
  Fd file = TRY(open_store_lock(data_dir_));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return std::optional(std::move(file));
  if (errno == EWOULDBLOCK) return std::optional<Fd>();
  return Error::system(errno, "lock image store");
}

Result<Fd> Store::open_blob(const oci::Digest& digest) const {
  Fd file = TRY(sys::open(blobs_, digest.hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  const struct stat st = TRY(sys::stat(file.get()));
  if (S_ISREG(st.st_mode)) return file;
  return Error(Code::kInvalid, "blob " + digest.str() + ": not a regular file");
}

Result<std::string> Store::read_blob(const oci::Digest& digest, std::size_t limit) const {
  std::string bytes = TRY(fs::read_file(blobs_, digest.hex, limit, fs::Kind::kRegularOnly));
  if (sha256_hex(bytes) == digest.hex) return bytes;
  return Error(Code::kInvalid, "blob " + digest.str() + ": its content has another digest")
      .hint("the image store was damaged: vrun image fsck tells what else");
}

Result<void> Store::sweep(const Fd& dir) const {
  for (const std::string& name : TRY(sys::list_dir(dir.get()))) {
    if (!name.starts_with(kUnfinished)) continue;
    Fd lock = TRY(
        sys::open(locks_, name.substr(kUnfinished.size()), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) continue;  // somebody is at work on it
    TRY(fs::remove_tree(dir, name));
  }
  return {};
}

Result<void> Store::sweep() const {
  // The collector removes lock files: beside it a lock could be held twice. It sweeps as well.
  Fd using_it = TRY(open_store_lock(data_dir_));
  if (::flock(using_it.get(), LOCK_SH | LOCK_NB) != 0) return {};
  TRY(sweep(layers_));
  return sweep(blobs_);
}

}  // namespace vrun::images
