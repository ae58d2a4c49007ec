#include "images/transfer/tree_changes.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr int kDeepest = 2048;

bool is_whiteout(const struct stat& st) {
  return S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

bool is_opaque(const Fd& dir) {
  std::array<char, 4> value{};
  for (const char* name : {"trusted.overlay.opaque", "user.overlay.opaque"}) {
    if (::fgetxattr(dir.get(), name, value.data(), value.size()) == 1 && value[0] == 'y') {
      return true;
    }
  }
  return false;
}

// The same directory in the layers below, top first, as far as it shows through.
using Below = std::vector<Fd>;

struct Found {
  bool is_there = false;
  Below directories;  // what of `name` is a directory below
};

Result<Found> look_up(const Below& below, const std::string& name) {
  Found found;
  for (const Fd& layer : below) {
    struct stat st {};
    if (::fstatat(layer.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (is_whiteout(st)) break;
    if (!S_ISDIR(st.st_mode)) {
      found.is_there = found.is_there || found.directories.empty();
      break;
    }
    found.is_there = true;
    found.directories.push_back(TRY(sys::open(layer, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)));
    if (is_opaque(found.directories.back())) break;
  }
  return found;
}

// Made by its owner as it was, but for what lies in it.
bool same_directory(const struct stat& upper, const Below& below) {
  if (below.empty()) return false;
  struct stat st {};
  return ::fstat(below.front().get(), &st) == 0 && st.st_mode == upper.st_mode &&
         st.st_uid == upper.st_uid && st.st_gid == upper.st_gid;
}

class Walk {
 public:
  explicit Walk(const std::vector<std::string>& mount_points) : mount_points_(mount_points) {}

  Result<void> directory(const Fd& upper, const Below& below, const std::string& path, int depth) {
    if (depth > kDeepest) return Error(Code::kInvalid, quote(path) + ": nested too deep");
    std::vector<std::string> names = TRY(sys::list_dir(upper.get()));
    std::sort(names.begin(), names.end());
    for (const std::string& name : names)
      TRY(entry(upper, below, name, path + "/" + name, depth));
    return {};
  }
  std::vector<Change> take() { return std::move(changes_); }

 private:
  Result<void> entry(const Fd& upper, const Below& below, const std::string& name,
                     const std::string& path, int depth) {
    struct stat st {};
    if (::fstatat(upper.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return {};  // gone meanwhile
      return Error::system(errno, "stat " + quote(path));
    }
    Found found = TRY(look_up(below, name));
    if (is_whiteout(st)) {
      if (found.is_there) changes_.push_back({'D', path});
      return {};
    }
    const bool is_place = !found.is_there && is_mount_point(path);
    if (is_place && S_ISREG(st.st_mode) && st.st_size == 0) return {};
    changes_.push_back({found.is_there ? 'C' : 'A', path});
    if (!S_ISDIR(st.st_mode)) return {};
    const std::size_t so_far = changes_.size();
    TRY(below_entry(upper, found, name, path, depth));
    const bool as_it_was = found.is_there ? same_directory(st, found.directories) : true;
    const bool only_mounts = (is_place || leads_to_mount(path)) && as_it_was;
    if (only_mounts && changes_.size() == so_far) changes_.pop_back();
    return {};
  }

  bool is_mount_point(const std::string& path) const {
    return std::find(mount_points_.begin(), mount_points_.end(), path) != mount_points_.end();
  }
  bool leads_to_mount(const std::string& path) const {
    return std::any_of(mount_points_.begin(), mount_points_.end(),
                       [&](const std::string& place) { return place.starts_with(path + "/"); });
  }

  Result<void> below_entry(const Fd& upper, const Found& found, const std::string& name,
                           const std::string& path, int depth) {
    const Fd dir = TRY(sys::open(upper, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (!is_opaque(dir)) return directory(dir, found.directories, path, depth + 1);
    TRY(hidden(dir, found.directories, path));
    return directory(dir, {}, path, depth + 1);
  }

  // An opaque directory deletes what it does not have.
  Result<void> hidden(const Fd& upper, const Below& below, const std::string& path) {
    std::vector<std::string> gone;
    for (const Fd& layer : below) {
      for (std::string& name : TRY(sys::list_dir(layer.get())))
        gone.push_back(std::move(name));
    }
    std::sort(gone.begin(), gone.end());
    gone.erase(std::unique(gone.begin(), gone.end()), gone.end());
    for (const std::string& name : gone) {
      const bool still = sys::stat(upper, name, AT_SYMLINK_NOFOLLOW).has_value();
      const Found found = TRY(look_up(below, name));
      if (!still && found.is_there) changes_.push_back({'D', path + "/" + name});
    }
    return {};
  }

  const std::vector<std::string>& mount_points_;
  std::vector<Change> changes_;
};

}  // namespace

Result<std::vector<Change>> changes_of(const Fd& upper, const std::vector<Fd>& layers,
                                       const std::vector<std::string>& mount_points) {
  Below below;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer)
    below.push_back(TRY(sys::open(*layer, ".", O_RDONLY | O_DIRECTORY)));
  Walk walk(mount_points);
  TRY(walk.directory(upper, below, "", 0));
  std::vector<Change> changes = walk.take();
  std::stable_sort(changes.begin(), changes.end(),
                   [](const Change& a, const Change& b) { return a.path < b.path; });
  return changes;
}

}  // namespace vrun::images
