#include "images/transfer/extract.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/charge.hpp"

namespace vrun::images {
namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kWhiteoutMeta = ".wh..wh.";
constexpr std::string_view kOpaqueMarker = ".wh..wh..opq";
constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxEntryPath = 4095;
// Every look-up: links resolve inside the layer, as they would for a guest; never across a mount.
constexpr std::uint64_t kInside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

// Where an entry goes. Both empty: the layer's root itself.
struct Place {
  std::string parent;  // "a/b", "" is the root
  std::string name;
};

Error bad_entry(std::string_view path, const std::string& why) {
  return Error(Code::kInvalid, "layer entry " + quote(path.substr(0, 200)) + ": " + why);
}

// "./a//b/" is a/b; ".." anywhere is refused rather than resolved.
Result<Place> place_of(std::string_view path, std::uint64_t most_depth,
                       const std::optional<std::string>& top) {
  if (path.size() > kMaxEntryPath) return bad_entry(path, "path longer than 4095 bytes");
  Place place;
  std::uint64_t depth = 0;
  for (const std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return bad_entry(path, "'..' in a path");
    if (part.size() > kMaxName) return bad_entry(path, "name longer than 255 bytes");
    if (++depth > most_depth) {
      return bad_entry(path, "nested deeper than " + std::to_string(most_depth) + " directories");
    }
    if (!place.name.empty()) {
      if (!place.parent.empty()) place.parent += '/';
      place.parent += place.name;
    }
    place.name = top && depth == 1 ? std::string_view(*top) : part;
  }
  return place;
}

bool is_whiteout(const struct stat& st) {
  return S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

// What is set on a directory once nothing more is made inside it.
struct DirectoryEnd {
  mode_t mode;
  timespec mtime;
};

class Extractor {
 public:
  Extractor(const Fd& root, const ExtractOptions& options) : root_(root), options_(options) {}

  Result<void> add(archive* reader, archive_entry* entry, ArchiveFeed& feed);
  Result<void> finish();
  const Extracted& counts() const { return counts_; }
  // The tar ended right after the content of its last file, without the padding that belongs there:
  // umoci 0.4 and others that forget to close a Go tar writer make such layers.
  bool is_cut_after_content() const { return cut_after_content_; }

 private:
  Result<void> put(const Place& place, archive* reader, archive_entry* entry, ArchiveFeed& feed);
  Result<Fd> open_parent(const std::string& path);
  Result<Fd> make_parents(const std::string& path);
  Result<void> make_room(const Fd& parent, const std::string& name, bool for_directory,
                         bool* was_whiteout);
  Result<void> add_whiteout(const Place& place);
  Result<void> set_opaque(const Fd& dir);
  Result<void> add_directory(const Fd& parent, const Place& place, archive_entry* entry);
  Result<void> add_file(const Fd& parent, const std::string& name, archive* reader,
                        archive_entry* entry, ArchiveFeed& feed);
  Result<void> copy_content(int file, std::uint64_t size, archive* reader, ArchiveFeed& feed);
  Result<void> add_symlink(const Fd& parent, const std::string& name, archive_entry* entry);
  Result<void> add_hard_link(const Fd& parent, const std::string& name, std::string_view target,
                             archive_entry* entry);
  Result<void> add_fifo(const Fd& parent, const std::string& name, archive_entry* entry);
  Result<void> set_attributes(int fd, archive_entry* entry);
  Result<void> set_owner(int fd, archive_entry* entry);
  Result<std::uint32_t> shifted(la_int64_t id) const;
  mode_t mode_of(archive_entry* entry) const;
  Result<void> finish_later(const std::string& path, archive_entry* entry);

  const Fd& root_;
  const ExtractOptions& options_;
  Extracted counts_;
  bool cut_after_content_ = false;
  std::map<std::string, DirectoryEnd> ends_;
  std::uint64_t ends_bytes_ = 0;
  // tar lists a directory's entries one after the other: the last parent is usually the next one.
  std::string cached_path_;
  Fd cached_;
};

timespec mtime_of(archive_entry* entry) {
  return {.tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry)};
}

mode_t Extractor::mode_of(archive_entry* entry) const {
  const mode_t mode = archive_entry_perm(entry) & 07777U;
  const bool program = archive_entry_filetype(entry) == AE_IFREG;
  return program && !options_.set_id_bits ? mode & ~static_cast<mode_t>(S_ISUID | S_ISGID) : mode;
}

Result<Fd> Extractor::make_parents(const std::string& path) {
  Fd at = TRY(sys::open2(root_, ".", O_PATH | O_DIRECTORY, kInside));
  std::string so_far;
  for (const std::string_view part : split(path, '/')) {
    if (!so_far.empty()) so_far += '/';
    so_far += part;
    Result<Fd> next = sys::open2(root_, so_far, O_PATH | O_DIRECTORY, kInside);
    if (!next && next.error().sys_errno() == ENOENT) {
      // A dangling link here answers EEXIST: then the layer asks for something impossible.
      TRY(sys::make_dir(at, std::string(part), 0755));
      next = sys::open2(root_, so_far, O_PATH | O_DIRECTORY, kInside);
    }
    if (!next) return std::move(next).error();
    at = *std::move(next);
  }
  return at;
}

Result<Fd> Extractor::open_parent(const std::string& path) {
  if (path.empty()) return sys::open2(root_, ".", O_PATH | O_DIRECTORY, kInside);
  if (cached_ && cached_path_ == path) return sys::duplicate(cached_.get());
  Result<Fd> parent = sys::open2(root_, path, O_PATH | O_DIRECTORY, kInside);
  if (!parent && parent.error().sys_errno() == ENOENT) parent = make_parents(path);
  if (!parent) return parent;
  cached_ = TRY(sys::duplicate(parent->get()));
  cached_path_ = path;
  return parent;
}

// Linux 5.8.
bool is_mount(const Fd& parent, const std::string& name) {
  struct statx facts {};
  const int failed =
      ::statx(parent.get(), name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &facts);
  return failed == 0 && (facts.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Later entries replace earlier ones, but a directory stays when a directory comes.
Result<void> Extractor::make_room(const Fd& parent, const std::string& name, bool for_directory,
                                  bool* was_whiteout) {
  struct stat st {};
  if (::fstatat(parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return Error::system(errno, "stat " + quote(name));
  }
  if (!options_.layer && !S_ISDIR(st.st_mode) && is_mount(parent, name)) {
    // Unlinking it here would take the mount away from the guest (rename(2), unlink(2): no EBUSY
    // for mounts of other namespaces since Linux 3.18).
    return Error(Code::kState, quote(name) + " is a mount of the guest and cannot be replaced")
        .hint("write into it from inside: vrun exec -i GUEST sh -c 'cat >FILE'");
  }
  if (was_whiteout != nullptr) *was_whiteout = options_.layer && is_whiteout(st);
  if (S_ISDIR(st.st_mode) && for_directory) return {};
  if (!options_.layer && S_ISDIR(st.st_mode) != for_directory) {
    return Error(Code::kExists, for_directory ? "a file is in the directory's place"
                                              : "a directory is in the file's place");
  }
  if (!S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) return sys::unlink(parent, name);
  cached_.reset();
  return fs::remove_tree(parent, name);
}

Result<void> Extractor::set_opaque(const Fd& dir) {
  const char* name = options_.privileged ? "trusted.overlay.opaque" : "user.overlay.opaque";
  Fd open_dir = TRY(sys::open2(dir, ".", O_RDONLY | O_DIRECTORY, kInside));
  if (::fsetxattr(open_dir.get(), name, "y", 1, 0) == 0) return {};
  if (errno == EPERM && options_.privileged) {
    name = "user.overlay.opaque";  // root of a user namespace only (xattr(7))
    if (::fsetxattr(open_dir.get(), name, "y", 1, 0) == 0) return {};
  }
  return Error::system(errno, std::string("set ") + name)
      .hint(
          "the image store must be on a filesystem with extended attributes, such as ext4 or xfs");
}

Result<void> Extractor::add_whiteout(const Place& place) {
  const Fd parent = TRY(open_parent(place.parent));
  if (place.name == kOpaqueMarker) return set_opaque(parent);
  // Other .wh..wh.* names are aufs' own bookkeeping; image-spec reserves them and nobody reads
  // them.
  if (place.name.starts_with(kWhiteoutMeta)) return {};
  const std::string hidden = place.name.substr(kWhiteoutPrefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") {
    return Error(Code::kInvalid, "whiteout of nothing");
  }
  struct stat st {};
  if (::fstatat(parent.get(), hidden.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    // A whiteout speaks of the layers below; what this layer has under the name stays.
    if (!S_ISDIR(st.st_mode)) return {};
    return set_opaque(TRY(sys::open2(parent, hidden, O_PATH | O_DIRECTORY | O_NOFOLLOW, kInside)));
  }
  // Since Linux 5.8 a whiteout device needs no CAP_MKNOD.
  if (::mknodat(parent.get(), hidden.c_str(), S_IFCHR, 0) == 0) return {};
  return Error::system(errno, "make whiteout " + quote(hidden));
}

Result<std::uint32_t> Extractor::shifted(la_int64_t id) const {
  const auto inside = static_cast<std::uint32_t>(id);
  if (options_.ids.empty()) return inside;
  for (const IdShift& shift : options_.ids) {
    if (inside >= shift.inside && inside - shift.inside < shift.size) {
      return shift.outside + (inside - shift.inside);
    }
  }
  return Error(Code::kInvalid, "owner " + std::to_string(inside) + " is not an id of the guest");
}

Result<void> Extractor::set_owner(int fd, archive_entry* entry) {
  if (!options_.privileged) return {};
  const auto uid = archive_entry_uid(entry);
  const auto gid = archive_entry_gid(entry);
  constexpr la_int64_t kLast = 0xFFFFFFFE;  // 2^32-1 means "unchanged" to chown(2)
  if (uid < 0 || uid > kLast || gid < 0 || gid > kLast) {
    return Error(Code::kInvalid, "owner " + std::to_string(uid) + ":" + std::to_string(gid) +
                                     " is not a 32-bit id");
  }
  const std::uint32_t user = TRY(shifted(options_.all_to_root ? 0 : uid));
  const std::uint32_t group = TRY(shifted(options_.all_to_root ? 0 : gid));
  if (::fchownat(fd, "", user, group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0) {
    return {};
  }
  if (errno == EINVAL && options_.ids.empty()) {
    ++counts_.owners_left_out;  // our user namespace has no such id
    return {};
  }
  return Error::system(errno, "set owner");
}

Result<void> Extractor::set_attributes(int fd, archive_entry* entry) {
  constexpr int kExtendedAcl = ARCHIVE_ENTRY_ACL_TYPE_ACCESS | ARCHIVE_ENTRY_ACL_TYPE_DEFAULT;
  if (archive_entry_acl_count(entry, kExtendedAcl) > 0) ++counts_.attributes_left_out;
  archive_entry_xattr_reset(entry);
  const char* raw_name = nullptr;
  const void* value = nullptr;
  std::size_t bytes = 0;
  while (archive_entry_xattr_next(entry, &raw_name, &value, &bytes) == ARCHIVE_OK) {
    const std::string_view name = raw_name == nullptr ? "" : raw_name;
    // Redirects and metacopy marks would let a layer show files of other layers as its own.
    if (name.starts_with("trusted.") || name.starts_with("user.overlay.")) {
      return Error(Code::kInvalid, "forged overlay attribute " + quote(name));
    }
    const bool wanted = name.starts_with("user.") || name == "security.capability";
    if (!wanted || (name == "security.capability" && !options_.privileged)) {
      ++counts_.attributes_left_out;
      continue;
    }
    if (::fsetxattr(fd, raw_name, value, bytes, 0) != 0) {
      return Error::system(errno, "set attribute " + quote(name));
    }
  }
  return {};
}

Result<void> Extractor::finish_later(const std::string& path, archive_entry* entry) {
  ends_bytes_ += path.size() + sizeof(DirectoryEnd) + 64;
  if (ends_bytes_ > options_.limits.directory_bytes) {
    return Error(Code::kInvalid, "layer has too many directories");
  }
  ends_.insert_or_assign(path, DirectoryEnd{mode_of(entry), mtime_of(entry)});
  return {};
}

Result<void> Extractor::add_directory(const Fd& parent, const Place& place, archive_entry* entry) {
  bool was_whiteout = false;
  const std::string name = place.name.empty() ? "." : place.name;
  if (!place.name.empty()) {
    TRY(make_room(parent, name, true, &was_whiteout));
    if (::mkdirat(parent.get(), name.c_str(), 0700) != 0 && errno != EEXIST) {
      return Error::system(errno, "create directory");
    }
  }
  const Fd dir = TRY(sys::open2(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, kInside));
  if (was_whiteout) TRY(set_opaque(dir));
  TRY(set_owner(dir.get(), entry));
  TRY(set_attributes(dir.get(), entry));
  return finish_later(place.parent.empty() ? name : place.parent + "/" + name, entry);
}

Result<void> Extractor::copy_content(int file, std::uint64_t size, archive* reader,
                                     ArchiveFeed& feed) {
  const void* data = nullptr;
  std::size_t bytes = 0;
  la_int64_t offset = 0;
  std::uint64_t end = 0;  // of what was written so far
  while (true) {
    const int status = archive_read_data_block(reader, &data, &bytes, &offset);
    if (status == ARCHIVE_EOF) return {};
    cut_after_content_ =
        status == ARCHIVE_FATAL && feed.has_ended() && static_cast<std::uint64_t>(offset) == size;
    if (cut_after_content_) return {};
    if (status != ARCHIVE_OK) return feed.failure(reader, "read content");
    // The map of a sparse file is the layer's word; only its size was counted against the limit.
    const auto start = static_cast<std::uint64_t>(offset);
    if (offset < 0 || start < end || start > size || bytes > size - start) {
      return Error(Code::kInvalid, "the content does not fit in the file's " +
                                       std::to_string(size) + " bytes, or is out of order");
    }
    end = start + bytes;
    const char* from = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t n = ::pwrite(file, from, bytes, offset);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return Error::system(n < 0 ? errno : EIO, "write content");
      from += n;
      offset += n;
      bytes -= static_cast<std::size_t>(n);
    }
  }
}

Result<void> Extractor::add_file(const Fd& parent, const std::string& name, archive* reader,
                                 archive_entry* entry, ArchiveFeed& feed) {
  const la_int64_t size = archive_entry_size(entry);
  if (size < 0 || static_cast<std::uint64_t>(size) > options_.limits.bytes - counts_.bytes) {
    return Error(Code::kInvalid, "the layer's content is larger than " +
                                     std::to_string(options_.limits.bytes) + " bytes");
  }
  counts_.bytes += static_cast<std::uint64_t>(size);
  TRY(take(options_.meter, charge_of_bytes(static_cast<std::uint64_t>(size))));
  TRY(make_room(parent, name, false, nullptr));
  const Fd file = TRY(sys::open(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  TRY(copy_content(file.get(), static_cast<std::uint64_t>(size), reader, feed));
  if (::ftruncate(file.get(), size) != 0) return Error::system(errno, "set size");
  TRY(set_owner(file.get(), entry));  // before the mode: chown(2) clears set-id bits
  TRY(sys::chmod(file.get(), mode_of(entry)));
  TRY(set_attributes(file.get(), entry));  // after the owner: chown(2) drops file capabilities
  const std::array<timespec, 2> times{mtime_of(entry), mtime_of(entry)};
  if (::futimens(file.get(), times.data()) != 0) return Error::system(errno, "set time");
  return {};
}

Result<void> Extractor::add_symlink(const Fd& parent, const std::string& name,
                                    archive_entry* entry) {
  const char* target = archive_entry_symlink(entry);
  if (target == nullptr || *target == '\0') return Error(Code::kInvalid, "link to nothing");
  TRY(make_room(parent, name, false, nullptr));
  if (::symlinkat(target, parent.get(), name.c_str()) != 0) {
    return Error::system(errno, "create link");
  }
  const Fd link = TRY(sys::open(parent, name, O_PATH | O_NOFOLLOW));
  TRY(set_owner(link.get(), entry));
  const std::array<timespec, 2> times{mtime_of(entry), mtime_of(entry)};
  if (::utimensat(parent.get(), name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return Error::system(errno, "set time");
  }
  return {};
}

Result<void> Extractor::add_hard_link(const Fd& parent, const std::string& name,
                                      std::string_view target, archive_entry* entry) {
  if (archive_entry_size_is_set(entry) != 0 && archive_entry_size(entry) > 0) {
    return Error(Code::kInvalid, "hard link with content of its own");
  }
  const Place to = TRY(place_of(target, options_.limits.depth, options_.top));
  if (to.name.empty()) return Error(Code::kInvalid, "hard link to the root directory");
  Fd to_parent = to.parent.empty()
                     ? TRY(sys::open2(root_, ".", O_PATH | O_DIRECTORY, kInside))
                     : TRY(sys::open2(root_, to.parent, O_PATH | O_DIRECTORY, kInside));
  const struct stat st = TRY(sys::stat(to_parent, to.name, AT_SYMLINK_NOFOLLOW));
  if (S_ISDIR(st.st_mode)) return Error(Code::kInvalid, "hard link to a directory");
  if (is_whiteout(st)) return Error(Code::kInvalid, "hard link to a whiteout");
  struct stat here {};
  if (::fstatat(parent.get(), name.c_str(), &here, AT_SYMLINK_NOFOLLOW) == 0 &&
      here.st_ino == st.st_ino && here.st_dev == st.st_dev) {
    return {};  // a link to itself: removing the old name first would lose the file
  }
  TRY(make_room(parent, name, false, nullptr));
  if (::linkat(to_parent.get(), to.name.c_str(), parent.get(), name.c_str(), 0) == 0) return {};
  return Error::system(errno, "create hard link to " + quote(target));
}

Result<void> Extractor::add_fifo(const Fd& parent, const std::string& name, archive_entry* entry) {
  TRY(make_room(parent, name, false, nullptr));
  if (::mknodat(parent.get(), name.c_str(), S_IFIFO | 0600, 0) != 0) {
    return Error::system(errno, "create fifo");
  }
  const Fd fifo = TRY(sys::open(parent, name, O_PATH | O_NOFOLLOW));
  TRY(set_owner(fifo.get(), entry));
  if (::fchmodat(parent.get(), name.c_str(), mode_of(entry), 0) == 0) return {};
  return Error::system(errno, "set mode");
}

Result<void> Extractor::put(const Place& place, archive* reader, archive_entry* entry,
                            ArchiveFeed& feed) {
  if (options_.layer && place.name.starts_with(kWhiteoutPrefix)) return add_whiteout(place);
  const char* hard_link = archive_entry_hardlink(entry);
  const auto type = archive_entry_filetype(entry);
  if (place.name.empty() && (type != AE_IFDIR || hard_link != nullptr)) {
    return Error(Code::kInvalid, "the root of a layer must be a directory");
  }
  const Fd parent = TRY(open_parent(place.parent));
  if (hard_link != nullptr) return add_hard_link(parent, place.name, hard_link, entry);
  switch (type) {
    case AE_IFDIR:
      return add_directory(parent, place, entry);
    case AE_IFREG:
      return add_file(parent, place.name, reader, entry, feed);
    case AE_IFLNK:
      return add_symlink(parent, place.name, entry);
    case AE_IFIFO:
      return add_fifo(parent, place.name, entry);
    case AE_IFCHR:
    case AE_IFBLK:
      ++counts_.devices_left_out;
      return {};
    default:
      return Error(Code::kInvalid, "unknown kind of file");
  }
}

Result<void> Extractor::add(archive* reader, archive_entry* entry, ArchiveFeed& feed) {
  if (++counts_.entries > options_.limits.entries) {
    return Error(Code::kInvalid,
                 "layer has more than " + std::to_string(options_.limits.entries) + " entries");
  }
  TRY(take(options_.meter, kEntryCharge));
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr) return Error(Code::kInvalid, "layer entry without a readable name");
  const Place place = TRY(place_of(path, options_.limits.depth, options_.top));
  Result<void> done = put(place, reader, entry, feed);
  if (done) return {};
  const std::string_view shown(path);
  return std::move(done).error().during("layer entry " + quote(shown.substr(0, 200)));
}

Result<void> Extractor::finish() {
  // Deepest first does not matter for modes, but a parent's time must be set after its children's.
  for (auto it = ends_.rbegin(); it != ends_.rend(); ++it) {
    const auto& [path, end] = *it;
    Result<Fd> dir = sys::open2(root_, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, kInside);
    if (!dir) {
      // Something else took its place later in the tar.
      const int why = dir.error().sys_errno();
      if (why == ENOENT || why == ENOTDIR || why == ELOOP) continue;
      return std::move(dir).error();
    }
    TRY(sys::chmod(dir->get(), end.mode));
    const std::array<timespec, 2> times{end.mtime, end.mtime};
    if (::futimens(dir->get(), times.data()) != 0) return Error::system(errno, "set time");
  }
  return {};
}

struct Reader {
  Reader() : handle(archive_read_new()) {}
  ~Reader() { archive_read_free(handle); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  archive* handle;
};

}  // namespace

Result<Extracted> extract_layer(ByteSource& tar, const Fd& directory,
                                const ExtractOptions& options) {
  Reader reader;
  archive_read_support_format_tar(reader.handle);
  archive_read_support_format_empty(reader.handle);
  ArchiveFeed feed(tar);
  const char* what = options.layer ? "read layer" : "read archive";
  if (archive_read_open(reader.handle, &feed, nullptr, &ArchiveFeed::read, nullptr) != ARCHIVE_OK) {
    return feed.failure(reader.handle, what);
  }
  Extractor extractor(directory, options);
  while (true) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader.handle, &entry);
    if (status == ARCHIVE_EOF) break;
    // ARCHIVE_WARN means that a part of the header was not understood: nothing is guessed here.
    if (status != ARCHIVE_OK) return feed.failure(reader.handle, what);
    TRY(extractor.add(reader.handle, entry, feed));
    if (extractor.is_cut_after_content()) break;
  }
  TRY(extractor.finish());
  return extractor.counts();
}

}  // namespace vrun::images
