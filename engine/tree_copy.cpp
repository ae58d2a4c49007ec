#include "engine/tree_copy.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/held_signals.hpp"

namespace vrun::engine {
namespace {

constexpr int kDeepest = 2048;               // half of what a path of 4095 bytes can nest
constexpr std::size_t kLongestList = 65536;  // XATTR_LIST_MAX and XATTR_SIZE_MAX
constexpr std::uint64_t kBlock = 512;        // of st_blocks

// Works for links, devices and sockets as well, which cannot be opened for reading.
std::string self_path(const Fd& file) {
  return "/proc/self/fd/" + std::to_string(file.get());
}

class Copier {
 public:
  Copier(dev_t device, const Fd& top) : device_(device), top_(top) {}
  // `path`: of `to` below the top, empty or with a slash at its end.
  Result<void> copy_entries(const Fd& from, const Fd& to, const std::string& path, int depth);
  Result<void> copy_facts(const Fd& from, const Fd& to, const struct stat& st);
  const TreeCopy& counts() const { return counts_; }

 private:
  Result<void> copy_entry(const Fd& from, const Fd& to, const std::string& path,
                          const std::string& name, int depth);
  Result<void> copy_directory(const Fd& from, const Fd& to, const std::string& path,
                              const std::string& name, const struct stat& st, int depth);
  Result<void> copy_file(const Fd& from, const Fd& to, const std::string& name,
                         const struct stat& st);
  Result<void> copy_special(const Fd& self, const Fd& to, const std::string& name,
                            const struct stat& st);
  Result<bool> linked_to_first(const Fd& to, const std::string& path, const std::string& name,
                               const struct stat& st);
  Result<void> copy_attributes(const Fd& from, const Fd& to);
  Result<void> copy_content(const Fd& from, const Fd& to, const struct stat& st);
  Result<void> copy_range(const Fd& from, const Fd& to, off_t at, off_t end);

  dev_t device_;
  const Fd& top_;
  bool can_share_ = true;
  // The copies of files with several names. Every directory on these paths was made here.
  std::map<std::pair<dev_t, ino_t>, std::string> firsts_;
  std::vector<char> names_ = std::vector<char>(kLongestList);
  std::vector<char> value_ = std::vector<char>(kLongestList);
  std::vector<char> buffer_;
  TreeCopy counts_;
};

Result<void> Copier::copy_attributes(const Fd& from, const Fd& to) {
  const std::string source = self_path(from), target = self_path(to);
  const ssize_t used = ::listxattr(source.c_str(), names_.data(), names_.size());
  if (used < 0 && errno == ENOTSUP) return {};
  if (used < 0) return Error::system(errno, "list attributes");
  const std::string list(names_.data(), static_cast<std::size_t>(used));
  for (const std::string_view one : split(list, '\0')) {
    if (one.empty()) continue;
    const std::string name(one);
    const ssize_t n = ::getxattr(source.c_str(), name.c_str(), value_.data(), value_.size());
    if (n < 0 && errno == ENODATA) continue;  // taken away meanwhile
    if (n < 0) return Error::system(errno, "read attribute " + quote(name));
    if (::setxattr(target.c_str(), name.c_str(), value_.data(), static_cast<std::size_t>(n), 0) !=
        0) {
      return Error::system(errno, "set attribute " + quote(name));
    }
  }
  return {};
}

Result<void> Copier::copy_facts(const Fd& from, const Fd& to, const struct stat& st) {
  constexpr int kSelf = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
  if (::fchownat(to.get(), "", st.st_uid, st.st_gid, kSelf) != 0) {
    return Error::system(errno, "set owner");
  }
  // After the owner, which takes set-id bits and capabilities away (chown(2)).
  if (!S_ISLNK(st.st_mode) && ::chmod(self_path(to).c_str(), st.st_mode & 07777U) != 0) {
    return Error::system(errno, "set mode");
  }
  TRY(copy_attributes(from, to));
  const std::array<timespec, 2> times{st.st_atim, st.st_mtim};
  if (::utimensat(to.get(), "", times.data(), kSelf) != 0) return Error::system(errno, "set time");
  return {};
}

// Within one file system the kernel copies (or shares) the blocks itself.
Result<void> Copier::copy_range(const Fd& from, const Fd& to, off_t at, off_t end) {
  constexpr off_t kStretch = 64 << 20;  // between two looks for Ctrl-C
  while (at < end) {
    TRY(HeldSignals::interrupted());
    off_t in = at, out = at;
    const auto want = static_cast<std::size_t>(std::min(end - at, kStretch));
    const ssize_t n = ::copy_file_range(from.get(), &in, to.get(), &out, want, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) return {};  // it became shorter meanwhile
    if (n < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP) {
      return Error::system(errno, "copy content");
    }
    if (n < 0) break;
    at += n;
  }
  constexpr std::size_t kChunk = 1U << 20U;
  if (at < end) buffer_.resize(kChunk);
  while (at < end) {
    TRY(HeldSignals::interrupted());
    const std::size_t want = std::min(kChunk, static_cast<std::size_t>(end - at));
    const ssize_t n = ::pread(from.get(), buffer_.data(), want, at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::system(errno, "read content");
    if (n == 0) return {};
    for (ssize_t done = 0; done < n;) {
      const ssize_t put =
          ::pwrite(to.get(), buffer_.data() + done, static_cast<std::size_t>(n - done), at + done);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return Error::system(put < 0 ? errno : EIO, "write content");
      done += put;
    }
    at += n;
  }
  return {};
}

Result<void> Copier::copy_content(const Fd& from, const Fd& to, const struct stat& st) {
  const std::uint64_t on_disk = static_cast<std::uint64_t>(st.st_blocks) * kBlock;
  counts_.bytes += on_disk;
  if (st.st_size == 0) return {};
  if (can_share_ && ::ioctl(to.get(), FICLONE, from.get()) == 0) {
    counts_.shared += on_disk;
    return {};
  }
  if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
    return Error::system(errno, "share content");
  can_share_ = false;
  // Before the content: a hole at the end is part of the file.
  if (::ftruncate(to.get(), st.st_size) != 0) return Error::system(errno, "set size");
  off_t at = 0;
  while (at < st.st_size) {
    const off_t data = ::lseek(from.get(), at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // nothing but a hole follows
    if (data < 0) return Error::system(errno, "seek");
    const off_t hole = ::lseek(from.get(), data, SEEK_HOLE);
    if (hole < 0) return Error::system(errno, "seek");
    TRY(copy_range(from, to, data, std::min(hole, st.st_size)));
    at = hole;
  }
  return {};
}

Result<bool> Copier::linked_to_first(const Fd& to, const std::string& path, const std::string& name,
                                     const struct stat& st) {
  if (st.st_nlink < 2 || S_ISDIR(st.st_mode)) return false;
  const auto [first, is_new] = firsts_.emplace(std::pair(st.st_dev, st.st_ino), path + name);
  if (is_new) return false;
  if (::linkat(top_.get(), first->second.c_str(), to.get(), name.c_str(), 0) == 0) return true;
  if (errno != ENOENT) return Error::system(errno, "make a second name");
  first->second = path + name;  // the first name had vanished before it was copied
  return false;
}

Result<void> Copier::copy_file(const Fd& from, const Fd& to, const std::string& name,
                               const struct stat& st) {
  // O_NONBLOCK: a fifo may have taken the file's place.
  const Fd source = TRY(sys::open(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME));
  const struct stat now = TRY(sys::stat(source.get()));
  if (!S_ISREG(now.st_mode) || now.st_ino != st.st_ino) {
    return Error(Code::kState, "was replaced while it was copied").hint("try again");
  }
  const Fd target =
      TRY(sys::open(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  TRY(copy_content(source, target, now));
  return copy_facts(source, target, now);
}

// Links, whiteouts and other devices, fifos, sockets.
Result<void> Copier::copy_special(const Fd& self, const Fd& to, const std::string& name,
                                  const struct stat& st) {
  if (S_ISLNK(st.st_mode)) {
    const std::string text = TRY(sys::read_link(self, ""));
    TRY(sys::make_symlink(text, to, name));
  } else if (::mknodat(to.get(), name.c_str(), (st.st_mode & S_IFMT) | 0600U, st.st_rdev) != 0) {
    return Error::system(errno, "make a special file");
  }
  const Fd target = TRY(sys::open(to, name, O_PATH | O_NOFOLLOW));
  return copy_facts(self, target, st);
}

Result<void> Copier::copy_directory(const Fd& from, const Fd& to, const std::string& path,
                                    const std::string& name, const struct stat& st, int depth) {
  if (depth > kDeepest) return Error(Code::kInvalid, "nested too deep");
  const Fd source = TRY(sys::open(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(sys::make_dir(to, name, 0700));
  const Fd target = TRY(sys::open(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (st.st_dev == device_) TRY(copy_entries(source, target, path + name + "/", depth + 1));
  return copy_facts(source, target, st);  // last: making entries changes the time
}

Result<void> Copier::copy_entry(const Fd& from, const Fd& to, const std::string& path,
                                const std::string& name, int depth) {
  Result<Fd> opened = sys::open(from, name, O_PATH | O_NOFOLLOW);
  if (!opened && opened.error().code() == Code::kNotFound) return {};  // gone meanwhile
  const Fd self = TRY(std::move(opened));
  const struct stat st = TRY(sys::stat(self.get()));
  if (++counts_.entries % 256 == 0) TRY(HeldSignals::interrupted());
  if (TRY(linked_to_first(to, path, name, st))) return {};
  if (S_ISDIR(st.st_mode)) return copy_directory(from, to, path, name, st, depth);
  Result<void> done =
      S_ISREG(st.st_mode) ? copy_file(from, to, name, st) : copy_special(self, to, name, st);
  if (done) return {};
  // The innermost name is told, not each directory on the way.
  return std::move(done).error().during(quote(name));
}

Result<void> Copier::copy_entries(const Fd& from, const Fd& to, const std::string& path,
                                  int depth) {
  for (const std::string& name : TRY(sys::list_dir(from.get())))
    TRY(copy_entry(from, to, path, name, depth));
  return {};
}

}  // namespace

Result<TreeCopy> copy_tree_exactly(const Fd& from, const Fd& to) {
  const struct stat st = TRY(sys::stat(from.get()));
  Copier copier(st.st_dev, to);
  TRY(copier.copy_entries(from, to, "", 1));
  TRY(copier.copy_facts(from, to, st));
  return copier.counts();
}

}  // namespace vrun::engine
