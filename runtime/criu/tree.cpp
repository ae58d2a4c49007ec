#include "runtime/criu/tree.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "rootfs/paths_child.hpp"

namespace vrun::criu {
namespace {

std::string fd_path(const Fd& fd) {
  return "/proc/self/fd/" + std::to_string(fd.get());
}

// The same folder, opened again by its path in this mount namespace.
Result<void> reopen(int fd) {
  const std::string path = TRY(sys::read_link(At::cwd(), "/proc/self/fd/" + std::to_string(fd)));
  const Fd fresh = TRY(sys::open_dir(At::cwd(), path));
  const struct stat before = TRY(sys::stat(fd));
  const struct stat now = TRY(sys::stat(fresh.get()));
  if (before.st_dev != now.st_dev || before.st_ino != now.st_ino)
    return Error(Code::kState, "the folder " + quote(path) + " is not found by its path");
  if (::dup3(fresh.get(), fd, O_CLOEXEC) < 0) return Error::system(errno, "keep " + quote(path));
  return {};
}

// A bind mount of the root onto itself: a mount point, without a folder to be made for it.
Result<Fd> mount_root(const std::string& root) {
  const Fd tree = TRY(sys::open_tree(At::cwd(), root, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  TRY(sys::move_mount(tree.get(), At::cwd(), root, 0));
  return sys::open(At::cwd(), root, O_PATH | O_DIRECTORY);
}

// What stands on a mount point while those below it are made. A file system that CRIU fills itself
// is stood in for by an empty one.
Result<Fd> stand_in(const TreeMount& mount) {
  if (!mount.source.empty()) {
    return sys::open_tree(At::cwd(), mount.source,
                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  }
  return sys::make_mount("tmpfs", {}, 0);
}

Result<Fd> open_mount_point(const Fd& root, const TreeMount& mount, const Fd& what) {
  const struct stat about = TRY(sys::stat(what.get()));
  rootfs::LookupRules rules;
  rules.missing =
      S_ISDIR(about.st_mode) ? rootfs::Missing::kMakeDirectory : rootfs::Missing::kMakeFile;
  const long target = rootfs::open_target(root.get(), mount.destination.c_str(), rules);
  if (target < 0) {
    return Error::system(
        static_cast<int>(-target),
        "make the mount point " + quote(mount.destination) + " in the root file system");
  }
  return Fd(static_cast<int>(target));
}

// The path as the container will see it: links in the image are resolved.
Result<std::string> path_inside(const Fd& target, const std::string& root) {
  const std::string path = TRY(sys::read_link(At::cwd(), fd_path(target)));
  if (path == root || root == "/") return path == root ? std::string("/") : path;
  if (path.starts_with(root + "/")) return path.substr(root.size());
  return Error(Code::kInternal, "the mount point " + quote(path) + " is not below the root");
}

}  // namespace

Result<void> leave_mounts_of_host(const std::vector<int>& fds) {
  TRY(sys::unshare(CLONE_NEWNS));
  // Slaves, not private: what the host mounts later still reaches the container's bind mounts.
  if (::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0)
    return Error::system(errno, "make the mounts private");
  for (const int fd : fds)
    TRY(reopen(fd));
  return {};
}

Result<void> prepare_cgroups(const Order& order) {
  if (order.cgroup_yard.empty()) return {};
  const Fd yard = TRY(sys::open_dir(At::cwd(), order.cgroup_yard));
  for (const Pair& tree : order.cgroup_trees) {
    if (order.action != Action::kRestore) {
      if (::symlinkat(tree.value.c_str(), yard.get(), tree.key.c_str()) != 0)
        return Error::system(errno, "link to " + quote(tree.value));
      continue;
    }
    TRY(sys::make_dir(yard, tree.key, 0700));
    const Fd mount =
        TRY(sys::open_tree(At::cwd(), tree.value, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    TRY(sys::move_mount(mount.get(), yard, tree.key, 0));
  }
  return {};
}

Result<Tree> prepare_tree(const std::string& root, const std::vector<TreeMount>& mounts) {
  Tree tree;
  const Fd root_dir = TRY(mount_root(root));
  tree.root = TRY(sys::read_link(At::cwd(), fd_path(root_dir)));
  std::vector<Fd> stacked;
  Undo unstack([&] {
    for (auto it = stacked.rbegin(); it != stacked.rend(); ++it)
      static_cast<void>(sys::umount(fd_path(*it), MNT_DETACH));
  });
  for (const TreeMount& mount : mounts) {
    Result<Fd> what = stand_in(mount);
    if (!what) return std::move(what).error().during("mount on " + quote(mount.destination));
    const Fd target = TRY(open_mount_point(root_dir, mount, *what));
    if (!mount.source.empty())
      tree.external.push_back({TRY(path_inside(target, tree.root)), mount.source});
    TRY(sys::move_mount(what->get(), target, "", MOVE_MOUNT_T_EMPTY_PATH));
    stacked.push_back(*std::move(what));
  }
  return tree;
}

}  // namespace vrun::criu
