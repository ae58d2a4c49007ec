#include "images/store.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr std::string_view kUnfinished = ".new-";

Result<Fd> open_made(const std::string& path) {
  TRY(fs::make_dirs(At::cwd(), path, 0700));
  return sys::open_dir(At::cwd(), path);
}

bool is_there(const Fd& dir, const std::string& name) {
  return sys::stat(dir, name, AT_SYMLINK_NOFOLLOW).has_value();
}

}  // namespace

std::string unfinished_name(const oci::Digest& digest) {
  return std::string(kUnfinished) + digest.hex;
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

Result<Fd> Store::lock(const oci::Digest& digest) const {
  Fd file = TRY(sys::open(locks_, digest.hex, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY(sys::lock(file.get(), LOCK_EX, "image store"));
  return file;
}

Result<std::optional<Fd>> Store::try_lock(const oci::Digest& digest) const {
  Fd file = TRY(sys::open(locks_, digest.hex, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return std::optional(std::move(file));
  if (errno == EWOULDBLOCK) return std::optional<Fd>();
  return Error::system(errno, "lock image store");
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
  TRY(sweep(layers_));
  return sweep(blobs_);
}

}  // namespace vrun::images
