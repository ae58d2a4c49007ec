// kRoot, kPivot and kRootAttributes: from the host's tree to the container's.
#include "rootfs/host_mounts_child.hpp"
#include "rootfs/kernel_child.hpp"
#include "rootfs/rootfs_child.hpp"

namespace vrun::rootfs {
namespace {

using kernel::Owned;
using steps::Context;

constexpr long kDetach = 2;   // MNT_DETACH of umount2(2)
constexpr long kUmask = 022;  // directories made on the way are the same whoever calls us

long set_propagation(int mount, uint64_t flags) {
  return kernel::mount_setattr(mount, 0, 0, flags & ~uint64_t{MS_REC}, (flags & MS_REC) != 0);
}

// The mount that holds `directory` becomes private, so that attaching the root there does not
// spread to the host when the host's tree stays shared (rootfsPropagation shared). Attributes can
// only be set at the root of a mount (EINVAL elsewhere), so climb until one is met.
long make_holder_private(const char* directory) {
  Owned at(raw::openat(AT_FDCWD, directory, O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (uint32_t depth = 0; depth < steps::kMaxPath / 2; ++depth) {
    if (at.get() < 0) return at.get();
    const long result = set_propagation(at.get(), MS_PRIVATE);
    if (result != -EINVAL) return result;
    at.reset(raw::openat(at.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  return -EINVAL;
}

// Clones the tree at args.path in this mount namespace; it must be the directory that the parent
// opened and checked.
long clone_root(const steps::RootArgs& args) {
  const long tree = kernel::open_tree(AT_FDCWD, args.path, OPEN_TREE_CLONE | AT_RECURSIVE);
  if (tree < 0 || args.source < 0) return tree;
  struct statx ours {};
  struct statx asked {};
  long result = kernel::statx(static_cast<int>(tree), &ours);
  if (result == 0) result = kernel::statx(args.source, &asked);
  if (result == 0 && (ours.stx_ino != asked.stx_ino || ours.stx_dev_major != asked.stx_dev_major ||
                      ours.stx_dev_minor != asked.stx_dev_minor)) {
    result = -ESTALE;
  }
  if (result < 0) raw::close(static_cast<int>(tree));
  return result < 0 ? result : tree;
}

// Masks bind the host's /dev/null, never the container's, which the image or a volume may have
// replaced (CVE-2025-31133). It is a clone of our own, so pivot() does not take it away.
long keep_null(Context& context) {
  Owned null(kernel::open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE));
  if (null.get() < 0) return null.get();
  struct statx about {};
  if (const long result = kernel::statx(null.get(), &about); result < 0) return result;
  if (kernel::type_of(about) != kernel::kCharacter || about.stx_rdev_major != 1 ||
      about.stx_rdev_minor != 3) {
    context.say("/dev/null of the host is not the null device");
    return -ENODEV;
  }
  if (const long result = set_propagation(null.get(), MS_PRIVATE); result < 0) return result;
  context.null_mount = null.release();
  return 0;
}

long set_host_propagation(Context& context, const steps::RootArgs& args) {
  Owned host(raw::openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (host.get() < 0) return host.get();
  context.propagation = args.host_propagation;
  const long result = set_propagation(host.get(), args.host_propagation);
  if (result == -EINVAL) context.say("/ of the host is not a mount (a chroot?)");
  return result;
}

long use_new_root(Context& context) {
  const long root = raw::openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return root;
  raw::close(context.root_fd);
  context.root_fd = static_cast<int>(root);
  return 0;
}

// initramfs hosts cannot pivot: move the root over "/" and change into it. What this leaves
// reachable is why pivot_root(2) is the rule.
long move_root(Context& context) {
  if (const long result = hide_host_filesystems(context); result < 0) return result;
  long result = raw::call(__NR_fchdir, context.root_fd);
  if (result == 0) {
    result = raw::call(__NR_mount, raw::ptr("."), raw::ptr("/"), 0, MS_MOVE, 0);
  }
  if (result == 0) result = raw::call(__NR_chroot, raw::ptr("."));
  return result;
}

// pivot_root(".", "."): the old root ends up on top of the new one, at the same place, and is
// taken away from there (pivot_root(2)); no directory in the image is needed.
long swap_root(Context& context) {
  Owned old(raw::openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (old.get() < 0) return old.get();
  long result = raw::call(__NR_fchdir, context.root_fd);
  if (result == 0) result = raw::call(__NR_pivot_root, raw::ptr("."), raw::ptr("."));
  if (result < 0) return result;
  // Unmounting must not spread to the host.
  if ((context.propagation & MS_SHARED) != 0) {
    result = set_propagation(old.get(), MS_SLAVE | MS_REC);
    if (result < 0) return result;
  }
  return raw::call(__NR_umount2, raw::ptr("."), kDetach);
}

}  // namespace

long root(Context& context, const steps::RootArgs& args) {
  raw::call(__NR_umask, kUmask);
  if (const long result = set_host_propagation(context, args); result < 0) return result;
  if (args.keep_null) {
    if (const long result = keep_null(context); result < 0) return result;
  }
  if ((args.host_propagation & MS_SHARED) != 0) {
    if (const long result = make_holder_private(args.path); result < 0) return result;
  }
  Owned cloned(args.detached ? -1 : clone_root(args));
  const int tree = args.detached ? args.source : cloned.get();
  if (tree < 0) return tree;
  if (args.detached) {
    // A clone of the parent's is still a peer of the host's mounts.
    if (const long result = set_propagation(tree, args.host_propagation); result < 0) return result;
  }
  // The top must be private for pivot_root(2); what is mounted below it keeps what it has.
  if (const long result = set_propagation(tree, MS_PRIVATE); result < 0) return result;
  // Attached at its own path: hooks find the container's tree where the bundle says it is.
  Owned place(raw::openat(AT_FDCWD, args.path, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (place.get() == -EACCES && args.detached) {
    // A user namespace whose root may not search the directories above: "/" serves as well.
    place.reset(raw::openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  if (place.get() < 0) return place.get();
  if (const long result = kernel::move_mount(tree, place.get()); result < 0) return result;
  const long root = raw::openat(tree, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return root;
  context.root_fd = static_cast<int>(root);
  return 0;
}

long pivot(Context& context, const steps::PivotArgs& args) {
  long result = args.no_pivot ? move_root(context) : swap_root(context);
  if (result == 0) result = raw::call(__NR_chdir, raw::ptr("/"));
  return result == 0 ? use_new_root(context) : result;
}

long root_attributes(Context& context, const steps::RootAttributesArgs& args) {
  if (args.propagation != 0) {
    const long result = set_propagation(context.root_fd, args.propagation);
    if (result < 0) return result;
  }
  return args.readonly ? kernel::mount_setattr(context.root_fd, MOUNT_ATTR_RDONLY, 0, 0, false) : 0;
}

}  // namespace vrun::rootfs
