// kMaskPath, kReadonlyPath and kSysctl: after the pivot, below the new root.
#include "rootfs/kernel_child.hpp"
#include "rootfs/paths_child.hpp"
#include "rootfs/rootfs_child.hpp"

namespace vrun::rootfs {
namespace {

using kernel::Owned;
using steps::Context;

// The empty read-only tmpfs that covers directories, made once for all of them.
long make_mask_tree(Context& context) {
  Owned filesystem(raw::call(__NR_fsopen, raw::ptr("tmpfs"), FSOPEN_CLOEXEC));
  if (filesystem.get() < 0) return filesystem.get();
  long result = kernel::fsconfig(filesystem.get(), FSCONFIG_SET_STRING, "nr_blocks", "1");
  if (result == 0) {
    result = kernel::fsconfig(filesystem.get(), FSCONFIG_SET_STRING, "nr_inodes", "1");
  }
  if (result == 0) {
    result = kernel::fsconfig(filesystem.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr);
  }
  if (result == 0) {
    result =
        raw::call(__NR_fsmount, filesystem.get(), FSMOUNT_CLOEXEC,
                  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  }
  if (result < 0) return result;
  context.mask_tree = static_cast<int>(result);
  return 0;
}

// Puts `mount` on `target`, again and again: the first time the detached mount itself goes there,
// after that it is attached and can be cloned (before Linux 6.15 a detached one cannot be).
long put_again(int mount, int target) {
  Owned clone(kernel::open_tree(mount, "", OPEN_TREE_CLONE | AT_EMPTY_PATH));
  const int what = clone.get() >= 0 ? clone.get() : mount;
  return kernel::move_mount(what, target);
}

// A path that is not there needs neither mask nor protection.
bool is_absent(long result) {
  return result == -ENOENT || result == -ENOTDIR;
}

}  // namespace

long mask_path(Context& context, const steps::PathArgs& args) {
  Owned target(open_target(context.root_fd, args.path, {}));
  if (target.get() < 0) return is_absent(target.get()) ? 0 : target.get();
  struct statx about {};
  if (const long result = kernel::statx(target.get(), &about); result < 0) return result;
  if (!kernel::is_directory(about)) return put_again(context.null_mount, target.get());
  if (context.mask_tree < 0) {
    if (const long result = make_mask_tree(context); result < 0) return result;
  }
  return put_again(context.mask_tree, target.get());
}

long readonly_path(Context& context, const steps::PathArgs& args) {
  Owned target(open_target(context.root_fd, args.path, {}));
  if (target.get() < 0) return is_absent(target.get()) ? 0 : target.get();
  Owned clone(kernel::open_tree(target.get(), "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE));
  if (clone.get() < 0) return clone.get();
  const long result = kernel::mount_setattr(clone.get(), MOUNT_ATTR_RDONLY, 0, 0, false);
  return result < 0 ? result : kernel::move_mount(clone.get(), target.get());
}

// Written through a procfs of our own, which no mount or link of the image can stand in for
// (CVE-2025-52881), and only if what was opened really lies on it.
long sysctl(Context& context, const steps::SysctlArgs& args) {
  if (const long result = steps::open_own_proc(context); result < 0) return result;
  constexpr uint64_t kStrict =
      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  Owned tree(kernel::openat2(context.proc_fd, "sys", O_PATH | O_DIRECTORY, kStrict));
  if (tree.get() < 0) return tree.get();
  Owned file(kernel::openat2(tree.get(), args.path, O_WRONLY, kStrict));
  if (file.get() < 0) {
    if (file.get() == -ENOENT) context.say("this kernel does not have it");
    return file.get();
  }
  if (kernel::filesystem_of(file.get()) != PROC_SUPER_MAGIC) return -ENODEV;
  const size_t bytes = raw::length(args.value);
  const long n = raw::write(file.get(), args.value, bytes);
  return n < 0 ? n : static_cast<size_t>(n) == bytes ? 0 : -EIO;
}

}  // namespace vrun::rootfs
