// kDevice and kMakeSymlink: what /dev is made of.
#include "rootfs/kernel_child.hpp"
#include "rootfs/paths_child.hpp"
#include "rootfs/rootfs_child.hpp"

namespace vrun::rootfs {
namespace {

using kernel::Owned;
using steps::Context;
using steps::DeviceArgs;

bool is_device(const struct statx& about, const DeviceArgs& args) {
  const uint32_t type = args.mode & kernel::kTypeMask;
  if (kernel::type_of(about) != type) return false;
  if (type == kernel::kFifo) return true;
  return about.stx_rdev_major == args.major && about.stx_rdev_minor == args.minor;
}

// The kernel's dev_t for user space: makedev(3).
uint64_t encode(uint64_t major, uint64_t minor) {
  return (minor & 0xffU) | ((major & 0xfffU) << 8U) | ((minor & ~uint64_t{0xff}) << 12U) |
         ((major & ~uint64_t{0xfff}) << 32U);
}

// The node as asked for, whoever made it: type and number are proved, mode and owner are set.
long make_node(Context& context, const DeviceArgs& args) {
  const char* name = nullptr;
  Owned parent(open_parent(context.root_fd, args.path, &name));
  if (parent.get() < 0) return parent.get();
  const long mask = raw::call(__NR_umask, 0);  // the mode is meant to the letter
  const long made = raw::call(__NR_mknodat, parent.get(), raw::ptr(name), args.mode,
                              static_cast<long>(encode(args.major, args.minor)));
  raw::call(__NR_umask, mask);
  if (made < 0 && made != -EEXIST) return made;
  struct statx about {};
  if (const long result = kernel::statx_at(parent.get(), name, &about); result < 0) return result;
  if (!is_device(about, args)) {
    context.say("something else is there");
    return -EEXIST;
  }
  if (about.stx_uid != args.uid || about.stx_gid != args.gid) {
    const long result = raw::call(__NR_fchownat, parent.get(), raw::ptr(name), args.uid, args.gid,
                                  AT_SYMLINK_NOFOLLOW);
    if (result < 0) return result;
  }
  // fchmodat(2) follows links, but what stands there is a device, and nobody else runs in the
  // container yet. fchmodat2(2), which need not, is new in 6.6.
  if ((about.stx_mode & 07777U) == (args.mode & 07777U)) return 0;
  return raw::call(__NR_fchmodat, parent.get(), raw::ptr(name), args.mode & 07777U);
}

// In a user namespace mknod(2) is not allowed: the host's node itself is bound.
long bind_node(Context& context, const DeviceArgs& args) {
  Owned opened(args.source_fd >= 0 ? -1
                                   : kernel::open_tree(AT_FDCWD, args.host_path, OPEN_TREE_CLONE));
  const int source = args.source_fd >= 0 ? args.source_fd : opened.get();
  if (source < 0) return source;
  struct statx about {};
  if (const long result = kernel::statx(source, &about); result < 0) return result;
  if (!is_device(about, args)) {
    context.say("the host has another device under this name");
    return -ENODEV;
  }
  if (const long result = kernel::mount_setattr(source, 0, 0, MS_PRIVATE, false); result < 0) {
    return result;
  }
  LookupRules rules;
  rules.missing = Missing::kMakeFile;
  rules.no_links = true;
  Owned target(open_target(context.root_fd, args.path, rules));
  if (target.get() < 0) return target.get();
  return kernel::move_mount(source, target.get());
}

}  // namespace

long device(Context& context, const DeviceArgs& args) {
  const bool bind = args.source_fd >= 0 || args.host_path != nullptr;
  return bind ? bind_node(context, args) : make_node(context, args);
}

long make_symlink(Context& context, const steps::SymlinkArgs& args) {
  const char* name = nullptr;
  Owned parent(open_parent(context.root_fd, args.path, &name));
  if (parent.get() < 0) return parent.get();
  for (int round = 0; round < 2; ++round) {
    const long made =
        raw::call(__NR_symlinkat, raw::ptr(args.target), parent.get(), raw::ptr(name));
    if (made != -EEXIST) return made;
    if (!args.replace) return 0;
    const long removed = raw::call(__NR_unlinkat, parent.get(), raw::ptr(name), 0);
    if (removed < 0 && removed != -ENOENT) return removed;
  }
  return -EEXIST;
}

}  // namespace vrun::rootfs
