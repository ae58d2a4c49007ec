#include "images/transfer/compare.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

using Difference = std::optional<std::string>;

constexpr int kDeepest = 2048;  // half of what a path of 4095 bytes can nest

class Comparison {
 public:
  Result<Difference> directories(const Fd& wanted, const Fd& found, const std::string& path,
                                 int depth);

 private:
  Result<Difference> entries(const Fd& wanted, const Fd& found, const std::string& name,
                             const std::string& path, int depth);
  Difference links(const struct stat& wanted, const struct stat& found, const std::string& path);
  // Which inode of one tree is which of the other.
  std::map<ino_t, ino_t> same_file_;
};

std::string says(const std::string& path, const std::string& what) {
  return quote(path.empty() ? "/" : path) + " " + what;
}

Difference stats(const struct stat& wanted, const struct stat& found, const std::string& path) {
  if ((wanted.st_mode & S_IFMT) != (found.st_mode & S_IFMT)) {
    return says(path, "is another kind of file");
  }
  if (wanted.st_mode != found.st_mode) return says(path, "has another mode");
  if (wanted.st_uid != found.st_uid || wanted.st_gid != found.st_gid) {
    return says(path, "has another owner");
  }
  if (S_ISREG(wanted.st_mode) && wanted.st_size != found.st_size) {
    return says(path, "has " + std::to_string(found.st_size) + " bytes, not " +
                          std::to_string(wanted.st_size));
  }
  if (wanted.st_rdev != found.st_rdev) return says(path, "is another device");
  return std::nullopt;
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
    if (n < 0) return Error::system(errno, "read attribute " + quote(name));
    found.emplace(name, std::string(value.data(), static_cast<std::size_t>(n)));
  }
  return found;
}

Result<std::size_t> fill(const Fd& file, std::span<char> buffer) {
  std::size_t used = 0;
  while (used < buffer.size()) {
    const std::size_t n = TRY(sys::read(file.get(), buffer.subspan(used)));
    if (n == 0) break;
    used += n;
  }
  return used;
}

Result<bool> same_content(const Fd& wanted, const Fd& found) {
  constexpr std::size_t kPiece = 128U << 10U;
  std::vector<char> a(kPiece), b(kPiece);
  while (true) {
    const std::size_t n = TRY(fill(wanted, a));
    const std::size_t m = TRY(fill(found, b));
    if (n != m || !std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin())) {
      return false;
    }
    if (n == 0) return true;
  }
}

bool same_time(const struct stat& a, const struct stat& b) {
  return a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

Difference Comparison::links(const struct stat& wanted, const struct stat& found,
                             const std::string& path) {
  const auto [known, is_new] = same_file_.emplace(wanted.st_ino, found.st_ino);
  if (!is_new && known->second != found.st_ino) return says(path, "is no longer the same file");
  if (wanted.st_nlink != found.st_nlink) return says(path, "has more or fewer names");
  return std::nullopt;
}

Result<Difference> Comparison::entries(const Fd& wanted, const Fd& found, const std::string& name,
                                       const std::string& path, int depth) {
  const Fd a = TRY(sys::open(wanted, name, O_PATH | O_NOFOLLOW));
  const Fd b = TRY(sys::open(found, name, O_PATH | O_NOFOLLOW));
  const struct stat want = TRY(sys::stat(a.get()));
  const struct stat have = TRY(sys::stat(b.get()));
  if (Difference differs = stats(want, have, path)) return differs;
  const Attributes wanted_attributes = TRY(attributes_of(a));
  if (wanted_attributes != TRY(attributes_of(b))) {
    return Difference(says(path, "has other attributes"));
  }
  if (S_ISDIR(want.st_mode)) {
    const Fd below_a = TRY(sys::open(wanted, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    const Fd below_b = TRY(sys::open(found, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return directories(below_a, below_b, path, depth + 1);
  }
  if (Difference differs = links(want, have, path)) return differs;
  if (S_ISLNK(want.st_mode)) {
    const std::string target = TRY(sys::read_link(wanted, name));
    const bool same = target == TRY(sys::read_link(found, name));
    return same ? Difference() : Difference(says(path, "points elsewhere"));
  }
  // What overlayfs takes for a whiteout has no time in a tar.
  if (!S_ISREG(want.st_mode)) return Difference();
  if (!same_time(want, have)) return Difference(says(path, "has another time"));
  const Fd read_a = TRY(sys::open(wanted, name, O_RDONLY | O_NOFOLLOW));
  const Fd read_b = TRY(sys::open(found, name, O_RDONLY | O_NOFOLLOW));
  if (TRY(same_content(read_a, read_b))) return Difference();
  return Difference(says(path, "has other content"));
}

Result<Difference> Comparison::directories(const Fd& wanted, const Fd& found,
                                           const std::string& path, int depth) {
  if (depth > kDeepest) return Error(Code::kInvalid, quote(path) + ": nested too deep");
  std::vector<std::string> want = TRY(sys::list_dir(wanted.get()));
  std::vector<std::string> have = TRY(sys::list_dir(found.get()));
  std::sort(want.begin(), want.end());
  std::sort(have.begin(), have.end());
  std::vector<std::string> odd;
  std::set_symmetric_difference(want.begin(), want.end(), have.begin(), have.end(),
                                std::back_inserter(odd));
  const std::string head = path.empty() ? "" : path + "/";
  if (!odd.empty()) {
    const bool missing = std::binary_search(want.begin(), want.end(), odd.front());
    return Difference(says(head + odd.front(), missing ? "is missing" : "does not belong there"));
  }
  for (const std::string& name : want) {
    if (Difference differs = TRY(entries(wanted, found, name, head + name, depth))) return differs;
  }
  return Difference();
}

}  // namespace

Result<Difference> first_difference(const Fd& wanted, const Fd& found) {
  const struct stat want = TRY(sys::stat(wanted.get()));
  const struct stat have = TRY(sys::stat(found.get()));
  if (Difference differs = stats(want, have, "")) return differs;
  return Comparison().directories(wanted, found, "", 0);
}

}  // namespace vrun::images
