#include "images/transfer/tree_tar.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr int kDeepest = 2048;  // half of what a path of 4095 bytes can nest
constexpr std::string_view kOpaqueMarker = ".wh..wh..opq";
constexpr std::string_view kWhiteoutPrefix = ".wh.";

struct Entry {
  Entry() : handle(archive_entry_new()) {}
  ~Entry() { archive_entry_free(handle); }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  archive_entry* handle;
};

bool is_whiteout(const struct stat& st) {
  return S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

using Attributes = std::map<std::string, std::string>;

// Of the entry itself: /proc/self/fd of an O_PATH descriptor reaches links and devices too.
Result<Attributes> attributes_of(const Fd& file) {
  const std::string self = "/proc/self/fd/" + std::to_string(file.get());
  std::vector<char> names(65536), value(65536);
  const ssize_t used = ::listxattr(self.c_str(), names.data(), names.size());
  Attributes found;
  if (used < 0) {
    if (errno == ENOTSUP || errno == EPERM || errno == EACCES) return found;
    return Error::system(errno, "list attributes");
  }
  for (const std::string_view name : split({names.data(), static_cast<std::size_t>(used)}, '\0')) {
    if (name.empty()) continue;
    const ssize_t n =
        ::getxattr(self.c_str(), std::string(name).c_str(), value.data(), value.size());
    if (n < 0 && errno == ENODATA) continue;  // taken away meanwhile
    if (n < 0) return Error::system(errno, "read attribute " + quote(name));
    found.emplace(name, std::string(value.data(), static_cast<std::size_t>(n)));
  }
  return found;
}

class TarOfTree {
 public:
  explicit TarOfTree(const Fd& out) : out_(out), writer_(archive_write_new()) {}
  ~TarOfTree() { archive_write_free(writer_); }
  TarOfTree(const TarOfTree&) = delete;
  TarOfTree& operator=(const TarOfTree&) = delete;

  Result<void> begin();
  // `options` holds until the next one; a link never leads from one tree to another.
  Result<void> add_tree(At dir, const std::string& name, const TarOptions& options);
  Result<void> add(At dir, const std::string& name, const std::string& path, int depth);
  Result<void> finish();
  const TarCounts& counts() const { return counts_; }

 private:
  static la_ssize_t write(archive* writer, void* self, const void* bytes, std::size_t size);
  Error failure(std::string_view action);
  Result<void> describe(archive_entry* entry, const std::string& path, const struct stat& st) const;
  Result<std::uint32_t> inside(std::uint32_t id, bool group) const;
  Result<bool> add_attributes(archive_entry* entry, const Fd& self);
  Result<void> add_directory(At dir, const std::string& name, const std::string& path,
                             const struct stat& st, const Fd& self, int depth);
  Result<void> add_entries(const Fd& dir, const std::string& path, int depth);
  Result<void> add_file(At dir, const std::string& name, archive_entry* entry,
                        const struct stat& st);
  void add_holes(archive_entry* entry, const Fd& file, std::uint64_t size) const;
  Result<void> copy_content(const Fd& file, std::uint64_t size);
  Result<void> add_marker(const std::string& path);
  Result<void> put_header(archive_entry* entry);
  bool is_second_name(archive_entry* entry, const struct stat& st, const std::string& path);

  const Fd& out_;
  const TarOptions* options_ = nullptr;
  archive* writer_;
  std::optional<Error> write_error_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
  std::optional<dev_t> device_;
  TarCounts counts_;
};

la_ssize_t TarOfTree::write(archive*, void* self, const void* bytes, std::size_t size) {
  auto* tar = static_cast<TarOfTree*>(self);
  Result<void> written;
  if (tar->options_ != nullptr) written = take(tar->options_->meter, size);
  if (written) written = sys::write_all(tar->out_.get(), {static_cast<const char*>(bytes), size});
  if (written) return static_cast<la_ssize_t>(size);
  tar->write_error_ = std::move(written).error();
  return -1;
}

Error TarOfTree::failure(std::string_view action) {
  if (write_error_) return *std::exchange(write_error_, std::nullopt);
  const char* words = archive_error_string(writer_);
  return Error(Code::kSystem, std::string(action) + ": " + printable(words ? words : "failed"));
}

Result<void> TarOfTree::begin() {
  archive_write_set_format_pax(writer_);
  // One notation of extended attributes: the one that everybody reads.
  archive_write_set_format_option(writer_, "pax", "xattrheader", "SCHILY");
  archive_write_set_bytes_per_block(writer_, 128 << 10);
  archive_write_set_bytes_in_last_block(writer_, 1);
  if (archive_write_open(writer_, this, nullptr, &TarOfTree::write, nullptr) == ARCHIVE_OK) {
    return {};
  }
  return failure("begin tar");
}

Result<void> TarOfTree::finish() {
  if (archive_write_close(writer_) == ARCHIVE_OK) return {};
  return failure("finish tar");
}

Result<std::uint32_t> TarOfTree::inside(std::uint32_t id, bool group) const {
  if (options_->ids.empty()) return id;
  for (const IdShift& shift : options_->ids) {
    if (id >= shift.outside && id - shift.outside < shift.size) {
      return shift.inside + (id - shift.outside);
    }
  }
  // What belongs to nobody inside looks so inside as well (user_namespaces(7)).
  constexpr std::uint32_t kOverflow = 65534;
  static_cast<void>(group);
  return kOverflow;
}

Result<void> TarOfTree::describe(archive_entry* entry, const std::string& path,
                                 const struct stat& st) const {
  archive_entry_set_pathname(entry, path.c_str());
  archive_entry_set_mode(entry, st.st_mode);
  archive_entry_set_uid(entry, TRY(inside(st.st_uid, false)));
  archive_entry_set_gid(entry, TRY(inside(st.st_gid, true)));
  archive_entry_set_mtime(entry, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
  archive_entry_set_size(entry, S_ISREG(st.st_mode) ? st.st_size : 0);
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    archive_entry_set_rdevmajor(entry, ::major(st.st_rdev));
    archive_entry_set_rdevminor(entry, ::minor(st.st_rdev));
  }
  return {};
}

Result<void> TarOfTree::put_header(archive_entry* entry) {
  ++counts_.entries;
  // ARCHIVE_WARN: a part could not be said in this format; nothing is left out silently.
  if (archive_write_header(writer_, entry) == ARCHIVE_OK) return {};
  return failure("write entry");
}

// Answers whether the directory is opaque. What overlayfs keeps for itself does not go on; where
// it means that the upper directory is not the whole story, that is an error.
Result<bool> TarOfTree::add_attributes(archive_entry* entry, const Fd& self) {
  bool opaque = false;
  for (const auto& [name, value] : TRY(attributes_of(self))) {
    const bool layer = options_->form == TarForm::kLayer;
    if (layer && (name == "trusted.overlay.opaque" || name == "user.overlay.opaque")) {
      opaque = value == "y";
      continue;
    }
    if (layer && (name.ends_with(".overlay.redirect") || name.ends_with(".overlay.metacopy"))) {
      return Error(Code::kUnsupported, "overlay attribute " + quote(name) +
                                           ": the content is in a layer below under another name")
          .hint("turn redirect_dir and metacopy of the overlay module off");
    }
    if (name.find(".overlay.") != std::string::npos) continue;
    if (!name.starts_with("user.") && name != "security.capability") continue;
    archive_entry_xattr_add_entry(entry, name.c_str(), value.data(), value.size());
  }
  return opaque;
}

Result<void> TarOfTree::add_marker(const std::string& path) {
  Entry entry;
  archive_entry_set_pathname(entry.handle, path.c_str());
  archive_entry_set_mode(entry.handle, S_IFREG | 0600);
  archive_entry_set_size(entry.handle, 0);
  archive_entry_set_mtime(entry.handle, 0, 0);
  return put_header(entry.handle);
}

bool TarOfTree::is_second_name(archive_entry* entry, const struct stat& st,
                               const std::string& path) {
  if (st.st_nlink < 2) return false;
  const auto [first, is_new] = links_.emplace(std::pair(st.st_dev, st.st_ino), path);
  if (is_new) return false;
  archive_entry_set_hardlink(entry, first->second.c_str());
  archive_entry_set_size(entry, 0);
  return true;
}

void TarOfTree::add_holes(archive_entry* entry, const Fd& file, std::uint64_t size) const {
  off_t at = 0;
  while (static_cast<std::uint64_t>(at) < size) {
    const off_t data = ::lseek(file.get(), at, SEEK_DATA);
    if (data < 0) break;  // ENXIO: nothing but a hole follows
    const off_t hole = ::lseek(file.get(), data, SEEK_HOLE);
    if (hole <= data) break;
    archive_entry_sparse_add_entry(entry, data, hole - data);
    at = hole;
  }
  if (at == 0) archive_entry_sparse_add_entry(entry, static_cast<la_int64_t>(size), 0);
}

Result<void> TarOfTree::copy_content(const Fd& file, std::uint64_t size) {
  std::array<char, 131072> buffer;
  std::uint64_t done = 0;
  while (done < size) {
    const std::size_t want = std::min<std::uint64_t>(size - done, buffer.size());
    ssize_t n = ::pread(file.get(), buffer.data(), want, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::system(errno, "read");
    if (n == 0) {  // it became shorter: the header has said its size already
      ++counts_.changed;
      std::fill(buffer.begin(), buffer.end(), '\0');
      n = static_cast<ssize_t>(want);
    }
    if (archive_write_data(writer_, buffer.data(), static_cast<std::size_t>(n)) != n) {
      return failure("write content");
    }
    done += static_cast<std::uint64_t>(n);
  }
  counts_.bytes += size;
  return {};
}

Result<void> TarOfTree::add_file(At dir, const std::string& name, archive_entry* entry,
                                 const struct stat& st) {
  // O_NONBLOCK: a fifo may have taken the file's place.
  const Fd file = TRY(sys::open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  const struct stat now = TRY(sys::stat(file.get()));
  if (!S_ISREG(now.st_mode) || now.st_ino != st.st_ino) {
    return Error(Code::kState, "was replaced while it was read").hint("try again");
  }
  const auto size = static_cast<std::uint64_t>(now.st_size);
  archive_entry_set_size(entry, now.st_size);
  constexpr std::uint64_t kBlock = 512;
  if (options_->sparse && static_cast<std::uint64_t>(now.st_blocks) * kBlock < size)
    add_holes(entry, file, size);
  TRY(put_header(entry));
  return copy_content(file, size);
}

Result<void> TarOfTree::add_entries(const Fd& dir, const std::string& path, int depth) {
  std::vector<std::string> names = TRY(sys::list_dir(dir.get()));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names)
    TRY(add(dir, name, path.empty() ? name : path + "/" + name, depth + 1));
  return {};
}

Result<void> TarOfTree::add_directory(At dir, const std::string& name, const std::string& path,
                                      const struct stat& st, const Fd& self, int depth) {
  if (depth > kDeepest) return Error(Code::kInvalid, "nested too deep");
  bool opaque = false;
  if (!path.empty()) {
    Entry entry;
    TRY(describe(entry.handle, path + "/", st));
    opaque = TRY(add_attributes(entry.handle, self));
    TRY(put_header(entry.handle));
  }
  if (opaque) TRY(add_marker(path + "/" + std::string(kOpaqueMarker)));
  const Fd below = TRY(sys::open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const struct stat now = TRY(sys::stat(below.get()));
  if (!device_) device_ = now.st_dev;
  // Something is mounted there: only the mount point goes on.
  if (now.st_dev != *device_) return {};
  return add_entries(below, path, depth);
}

Result<void> TarOfTree::add_tree(At dir, const std::string& name, const TarOptions& options) {
  options_ = &options;
  links_.clear();
  device_.reset();
  return add(dir, name, options.top, 0);
}

Result<void> TarOfTree::add(At dir, const std::string& name, const std::string& path, int depth) {
  if (options_->only != nullptr && depth > 0 && !options_->only->contains("/" + path)) return {};
  Result<Fd> opened = sys::open(dir, name, O_PATH | O_NOFOLLOW);
  if (!opened && opened.error().code() == Code::kNotFound && depth > 0)
    return {};  // gone meanwhile
  const Fd self = TRY(std::move(opened));
  const struct stat st = TRY(sys::stat(self.get()));
  const auto during = [&](Error error) {
    return std::move(std::move(error).during(quote(path.empty() ? "/" : path)));
  };
  if (S_ISSOCK(st.st_mode)) {
    ++counts_.sockets_left_out;
    return {};
  }
  if (options_->form == TarForm::kLayer) {
    const std::string parent(depth > 0 && path.find('/') != std::string::npos
                                 ? std::string(fs::dir_name(path)) + "/"
                                 : "");
    if (is_whiteout(st)) return add_marker(parent + std::string(kWhiteoutPrefix) + name);
    if (name.starts_with(kWhiteoutPrefix)) {
      return during(Error(Code::kUnsupported, "a layer cannot hold names that begin with .wh."));
    }
  }
  if (S_ISDIR(st.st_mode)) {
    Result<void> done = add_directory(dir, name, path, st, self, depth);
    // The innermost name is told, not each directory on the way.
    return done;
  }
  Entry entry;
  TRY(describe(entry.handle, path, st));
  if (S_ISLNK(st.st_mode)) {
    const std::string target = TRY(sys::read_link(self, ""));
    archive_entry_set_symlink(entry.handle, target.c_str());
  }
  if (is_second_name(entry.handle, st, path)) return put_header(entry.handle);
  if (Result<bool> added = add_attributes(entry.handle, self); !added) {
    return during(std::move(added).error());
  }
  if (!S_ISREG(st.st_mode)) return put_header(entry.handle);
  Result<void> done = add_file(dir, name, entry.handle, st);
  if (done) return {};
  return during(std::move(done).error());
}

}  // namespace

Result<TarCounts> write_tar(At dir, const std::string& name, const Fd& out,
                            const TarOptions& options) {
  TarOfTree tar(out);
  TRY(tar.begin());
  TRY(tar.add_tree(dir, name, options));
  TRY(tar.finish());
  return tar.counts();
}

Result<TarCounts> write_tar(std::span<const TarTree> trees, const Fd& out) {
  TarOfTree tar(out);
  TRY(tar.begin());
  for (const TarTree& tree : trees)
    TRY(tar.add_tree(tree.dir, tree.name, tree.options));
  TRY(tar.finish());
  return tar.counts();
}

}  // namespace vrun::images
