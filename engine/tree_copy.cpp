#include "engine/tree_copy.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
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

constexpr std::size_t kChunk = 1U << 20U;
constexpr off_t kLarge = 1 << 20;  // worth a draft

// Works for links, devices and sockets as well, which cannot be opened for reading.
std::string self_path(const Fd& file) {
  return "/proc/self/fd/" + std::to_string(file.get());
}

// Within one file system the kernel copies (or shares) the blocks itself.
Result<void> copy_range(const Fd& from, const Fd& to, off_t at, off_t end) {
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
  std::vector<char> buffer(at < end ? kChunk : 0);
  while (at < end) {
    TRY(HeldSignals::interrupted());
    const std::size_t want = std::min(kChunk, static_cast<std::size_t>(end - at));
    const ssize_t n = ::pread(from.get(), buffer.data(), want, at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::system(errno, "read content");
    if (n == 0) return {};
    for (ssize_t done = 0; done < n;) {
      const ssize_t put =
          ::pwrite(to.get(), buffer.data() + done, static_cast<std::size_t>(n - done), at + done);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return Error::system(put < 0 ? errno : EIO, "write content");
      done += put;
    }
    at += n;
  }
  return {};
}

// The stretches of a file that are not holes.
template <typename Work>
Result<void> for_each_stretch(const Fd& file, off_t size, Work work) {
  off_t at = 0;
  while (at < size) {
    const off_t data = ::lseek(file.get(), at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // nothing but a hole follows
    if (data < 0) return Error::system(errno, "seek");
    const off_t hole = ::lseek(file.get(), data, SEEK_HOLE);
    if (hole < 0) return Error::system(errno, "seek");
    TRY(work(data, std::min(hole, size)));
    at = hole;
  }
  return {};
}

Result<std::size_t> read_at(const Fd& file, std::vector<char>& buffer, std::size_t want, off_t at) {
  std::size_t done = 0;
  while (done < want) {
    const ssize_t n =
        ::pread(file.get(), buffer.data() + done, want - done, at + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::system(errno, "read content");
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

// What differs is copied. `to` has the size of `from` already.
Result<void> copy_differences(const Fd& from, const Fd& to, off_t at, off_t end) {
  std::vector<char> ours(kChunk), theirs(kChunk);
  while (at < end) {
    TRY(HeldSignals::interrupted());
    const std::size_t want = std::min(kChunk, static_cast<std::size_t>(end - at));
    const std::size_t n = TRY(read_at(from, ours, want, at));
    const std::size_t m = TRY(read_at(to, theirs, want, at));
    if (n == 0) return {};
    if (n != m || std::memcmp(ours.data(), theirs.data(), n) != 0) {
      TRY(copy_range(from, to, at, at + static_cast<off_t>(n)));
    }
    at += static_cast<off_t>(n);
  }
  return {};
}

Result<void> make_hole(const Fd& file, off_t at, off_t end) {
  if (at >= end) return {};
  constexpr int kHow = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (::fallocate(file.get(), kHow, at, end - at) == 0) return {};
  return Error::system(errno, "make a hole");
}

// A draft becomes what the file is now.
Result<void> finish_draft(const Fd& from, const Fd& to, off_t size) {
  if (::ftruncate(to.get(), size) != 0) return Error::system(errno, "set size");
  off_t done = 0;
  const auto bring = [&](off_t at, off_t end) -> Result<void> {
    TRY(make_hole(to, done, at));
    done = end;
    return copy_differences(from, to, at, end);
  };
  TRY(for_each_stretch(from, size, bring));
  return make_hole(to, done, size);
}

class Copier {
 public:
  Copier(dev_t device, const Fd& top, Draft* draft) : device_(device), top_(top), draft_(draft) {}
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

  dev_t device_;
  const Fd& top_;
  Draft* draft_;
  bool can_share_ = true;
  // The copies of files with several names. Every directory on these paths was made here.
  std::map<std::pair<dev_t, ino_t>, std::string> firsts_;
  std::vector<char> names_ = std::vector<char>(kLongestList);
  std::vector<char> value_ = std::vector<char>(kLongestList);
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
  return for_each_stretch(from, st.st_size,
                          [&](off_t at, off_t end) { return copy_range(from, to, at, end); });
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
  const bool drafted = draft_ != nullptr && TRY(draft_->take(now, to, name));
  const int how = drafted ? O_RDWR | O_NOFOLLOW : O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  const Fd target = TRY(sys::open(to, name, how, S_IRUSR | S_IWUSR));
  if (drafted) {
    counts_.bytes += static_cast<std::uint64_t>(now.st_blocks) * kBlock;
    TRY(finish_draft(source, target, now.st_size));
  } else {
    TRY(copy_content(source, target, now));
  }
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

Result<Draft> Draft::of(const Fd& from, const Fd& dir) {
  Draft draft(TRY(sys::open_dir(dir, ".")));
  const struct stat st = TRY(sys::stat(from.get()));
  TRY(draft.add_entries(from, st.st_dev, 1));
  return draft;
}

Result<void> Draft::add_entries(const Fd& from, dev_t device, int depth) {
  if (depth > kDeepest) return {};
  for (const std::string& name : TRY(sys::list_dir(from.get()))) {
    if (shares_) return {};
    struct stat st {};
    if (::fstatat(from.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(st.st_mode) && st.st_size >= kLarge) TRY(add_file(from, name, st));
    if (!S_ISDIR(st.st_mode) || st.st_dev != device) continue;
    const Result<Fd> below = sys::open(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (below) TRY(add_entries(*below, device, depth + 1));
  }
  return {};
}

Result<void> Draft::add_file(const Fd& from, const std::string& name, const struct stat& st) {
  if (files_.contains({st.st_dev, st.st_ino})) return {};
  const Result<Fd> source = sys::open(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME);
  if (!source) return {};
  const std::string number = std::to_string(files_.size());
  const Fd target = TRY(sys::open(dir_, number, O_WRONLY | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR));
  if (::ioctl(target.get(), FICLONE, source->get()) == 0) {
    shares_ = true;
    return sys::unlink(dir_, number);
  }
  TRY(for_each_stretch(*source, st.st_size,
                       [&](off_t at, off_t end) { return copy_range(*source, target, at, end); }));
  files_.emplace(std::pair(st.st_dev, st.st_ino), number);
  return {};
}

Result<bool> Draft::take(const struct stat& st, const Fd& to, const std::string& name) {
  const auto found = files_.find({st.st_dev, st.st_ino});
  if (found == files_.end()) return false;
  TRY(sys::rename(dir_, found->second, to, name));
  files_.erase(found);
  return true;
}

Result<TreeCopy> copy_tree_exactly(const Fd& from, const Fd& to, Draft* draft) {
  const struct stat st = TRY(sys::stat(from.get()));
  Copier copier(st.st_dev, to, draft);
  TRY(copier.copy_entries(from, to, "", 1));
  TRY(copier.copy_facts(from, to, st));
  return copier.counts();
}

}  // namespace vrun::engine
