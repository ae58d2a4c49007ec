#include "images/transfer/spool.hpp"

#include <array>
#include <utility>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/transfer/stream.hpp"

namespace vrun::images {
namespace {

constexpr std::string_view kBlobs = "blobs/sha256";

std::string random_name() {
  std::array<unsigned char, 8> bytes{};
  // Cannot fail for so few bytes once the system has booted (getrandom(2)); mkdir finds doubles.
  if (::getrandom(bytes.data(), bytes.size(), 0) < 0) bytes = {};
  std::string text = "spool-";
  for (const unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4U];
    text += "0123456789abcdef"[byte & 15U];
  }
  return text;
}

}  // namespace

Result<oci::Digest> digest_of(const Fd& file) {
  FdSource source(file);
  HashingSource hashed(source, INT64_MAX, "file");
  return oci::Digest{"sha256", TRY(hashed.finish())};
}

Result<Fd> open_inside(const Fd& dir, const std::string& path) {
  Fd file = TRY(sys::open2(dir, path, O_RDONLY | O_NONBLOCK,
                           RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV));
  const struct stat st = TRY(sys::stat(file.get()));
  if (S_ISREG(st.st_mode)) return file;
  return Error(Code::kInvalid, quote(path) + ": not a regular file");
}

Result<Fd> open_unlinked(const Fd& dir, const std::string& path, int flags) {
  return sys::open2(dir, path, static_cast<std::uint64_t>(flags),
                    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

Result<Spool> Spool::create(const Store& store) {
  const std::string name = random_name();
  Fd lock = TRY(sys::open(store.locks(), name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  TRY(sys::lock(lock.get(), LOCK_EX | LOCK_NB, "spool"));
  const std::string folder = std::string(kUnfinished) + name;
  TRY(sys::make_dir(store.layers(), folder, 0700));
  Fd dir = TRY(sys::open_dir(store.layers(), folder));
  std::string path = fs::join(store.data_dir(), "images/layers/" + folder);
  Spool spool(store, std::move(lock), std::move(dir), name, std::move(path));
  return spool;
}

Spool::Spool(Spool&& other) noexcept
    : store_(std::exchange(other.store_, nullptr)),
      lock_(std::move(other.lock_)),
      dir_(std::move(other.dir_)),
      name_(std::move(other.name_)),
      path_(std::move(other.path_)) {}

Spool::~Spool() {
  if (store_ == nullptr) return;
  static_cast<void>(fs::remove_tree(store_->layers(), std::string(kUnfinished) + name_));
  static_cast<void>(sys::unlink(store_->locks(), name_));
}

Result<oci::Descriptor> Spool::add_file(const Fd& file, const std::string& media_type) const {
  oci::Descriptor added;
  added.media_type = media_type;
  added.digest = TRY(digest_of(file));
  added.size = static_cast<std::uint64_t>(TRY(sys::stat(file.get())).st_size);
  TRY(fs::make_dirs(dir_, std::string(kBlobs), 0700));
  const std::string name = std::string(kBlobs) + "/" + added.digest.hex;
  const std::string self = "/proc/self/fd/" + std::to_string(file.get());
  const int linked = ::linkat(AT_FDCWD, self.c_str(), dir_.get(), name.c_str(), AT_SYMLINK_FOLLOW);
  if (linked == 0 || errno == EEXIST) return added;
  return Error::system(errno, "keep " + quote(name));
}

Result<oci::Descriptor> Spool::add_bytes(const std::string& bytes,
                                         const std::string& media_type) const {
  oci::Descriptor added;
  added.media_type = media_type;
  added.digest = {"sha256", sha256_hex(bytes)};
  added.size = bytes.size();
  TRY(fs::make_dirs(dir_, std::string(kBlobs), 0700));
  const Fd blobs = TRY(sys::open_dir(dir_, std::string(kBlobs)));
  TRY(fs::replace_file(blobs, added.digest.hex, bytes));
  return added;
}

}  // namespace vrun::images
