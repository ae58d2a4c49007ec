// kMount inside the container: everything by descriptors, nothing by a path that the image could
// change under us.
#include "rootfs/mount_child.hpp"

#include "rootfs/kernel_child.hpp"
#include "rootfs/paths_child.hpp"
#include "rootfs/rootfs_child.hpp"

namespace vrun::rootfs {
namespace {

using kernel::Owned;
using steps::Context;
using steps::MountArgs;

constexpr uint64_t kRecursiveFlag = MS_REC;
constexpr size_t kMaxOptionValue = 255;  // fsconfig(2) takes strings of less than 256 bytes

// The log of a file-system context: lines such as "e tmpfs: Bad value for 'size'".
void say_kernel_log(Context& context, int filesystem) {
  char line[512];
  for (int i = 0; i < 8; ++i) {
    const long n = raw::read(filesystem, line, sizeof line);
    if (n <= 2) return;
    if (context.note_bytes > 0) context.say("; ");
    size_t bytes = static_cast<size_t>(n);
    if (line[bytes - 1] == '\n') --bytes;
    context.say_bytes(line + 2, bytes - 2);
  }
}

bool has_long_option(const MountArgs& args) {
  for (uint32_t i = 0; i < args.options.count; ++i) {
    const char* value = args.options.data[i].value;
    if (value != nullptr && raw::length(value) > kMaxOptionValue) return true;
  }
  return false;
}

long set_option(int filesystem, const char* key, const char* value) {
  return value == nullptr ? kernel::fsconfig(filesystem, FSCONFIG_SET_FLAG, key, nullptr)
                          : kernel::fsconfig(filesystem, FSCONFIG_SET_STRING, key, value);
}

long set_options(Context& context, int filesystem, const MountArgs& args) {
  for (uint32_t i = 0; i < args.options.count; ++i) {
    const steps::FsOption& option = args.options.data[i];
    const long result = set_option(filesystem, option.key, option.value);
    if (result >= 0) continue;
    say_kernel_log(context, filesystem);
    if (context.note_bytes == 0) {
      context.say("option ");
      context.say(option.key);
    }
    return result;
  }
  return 0;
}

long set_mode_of(int filesystem, int directory) {
  struct statx about {};
  if (const long result = kernel::statx(directory, &about); result < 0) return result;
  const unsigned mode = about.stx_mode & 07777U;
  char text[8];
  size_t n = 0;
  for (int shift = 9; shift >= 0; shift -= 3)
    text[n++] = static_cast<char>('0' + ((mode >> shift) & 7U));
  text[n] = '\0';
  return kernel::fsconfig(filesystem, FSCONFIG_SET_STRING, "mode", text);
}

// Is this the container's root itself? Mounting over it would hide what the later steps check.
bool is_root(Context& context, const struct statx& target) {
  struct statx root {};
  if (kernel::statx(context.root_fd, &root) < 0) return true;
  return root.stx_mnt_id == target.stx_mnt_id && root.stx_ino == target.stx_ino;
}

// Mounts in a procfs are how images made runtimes write labels and limits into files of their
// own (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881), so only what the planner named may be
// there.
long check_in_proc(Context& context, const MountArgs& args, int target, int source) {
  const long filesystem = kernel::filesystem_of(target);
  if (filesystem < 0) return filesystem;
  const bool to_proc = (args.flags & steps::kTargetIsProc) != 0;
  if (to_proc && source >= 0 && kernel::filesystem_of(source) != PROC_SUPER_MAGIC) {
    context.say("only a procfs may be mounted on /proc");
    return -EPERM;
  }
  if (filesystem == PROC_SUPER_MAGIC && !to_proc && (args.flags & steps::kAllowInProc) == 0) {
    context.say("the target lies in a procfs");
    return -EPERM;
  }
  return 0;
}

long check_target(Context& context, const MountArgs& args, int target, int source) {
  struct statx there {};
  if (const long result = kernel::statx(target, &there); result < 0) return result;
  if (is_root(context, there)) {
    context.say("the target is the root itself");
    return -EINVAL;
  }
  if (const long result = check_in_proc(context, args, target, source); result < 0) return result;
  if (source < 0) return 0;
  struct statx what {};
  if (const long result = kernel::statx(source, &what); result < 0) return result;
  if (kernel::is_directory(what) == kernel::is_directory(there)) return 0;
  context.say(kernel::is_directory(what) ? "a directory cannot be mounted on a file"
                                         : "a file cannot be mounted on a directory");
  return -ENOTDIR;
}

// mount(2) with the option text in one piece, for options longer than fsconfig(2) takes (overlay's
// lowerdir). The target is the working directory: still no path of the container is resolved.
long mount_in_one_piece(Context& context, const MountArgs& args) {
  Owned target(open_mount_target(context, args, -1));
  if (target.get() < 0) return target.get();
  if (const long result = raw::call(__NR_fchdir, target.get()); result < 0) return result;
  const char* source = args.source != nullptr ? args.source : args.type;
  const long mounted = raw::call(__NR_mount, raw::ptr(source), raw::ptr("."), raw::ptr(args.type),
                                 0, raw::ptr(args.data));
  raw::call(__NR_chdir, raw::ptr("/"));
  if (mounted < 0) return mounted;
  MountArgs again = args;
  again.kind = steps::MountKind::kRemount;
  again.options = {nullptr, 0};
  if ((again.attributes.set & MOUNT_ATTR__ATIME) != 0) again.attributes.clear = MOUNT_ATTR__ATIME;
  return mount(context, again);
}

long mount_filesystem(Context& context, const MountArgs& args) {
  if (has_long_option(args)) return mount_in_one_piece(context, args);
  // A missing target is made before, so that a tmpfs can tell a directory that was there already
  // (its mode is kept) from one that we made (the tmpfs's own default).
  int mode_from = -1;
  const LookupRules no_links{.missing = Missing::kFail};
  Owned existing((args.flags & steps::kKeepMode) != 0
                     ? open_target(context.root_fd, args.target, no_links)
                     : -1);
  if (existing.get() >= 0) mode_from = existing.get();
  Owned made(make_filesystem(context, args, mode_from));
  if (made.get() < 0) return made.get();
  if (args.attributes.propagation != 0) {
    const long result = kernel::mount_setattr(made.get(), 0, 0,
                                              args.attributes.propagation & ~kRecursiveFlag, false);
    if (result < 0) return result;
  }
  Owned target(open_mount_target(context, args, made.get()));
  if (target.get() < 0) return target.get();
  return kernel::move_mount(made.get(), target.get());
}

long copy_symlink(Context& context, const MountArgs& args) {
  const char* name = nullptr;
  Owned parent(open_parent(context.root_fd, args.target, &name));
  if (parent.get() < 0) return parent.get();
  const long made = raw::call(__NR_symlinkat, raw::ptr(args.link), parent.get(), raw::ptr(name));
  if (made != -EEXIST) return made;
  char text[steps::kMaxPath];
  const long n =
      raw::call(__NR_readlinkat, parent.get(), raw::ptr(name), raw::ptr(text), sizeof text);
  const size_t bytes = raw::length(args.link);
  const bool same =
      n >= 0 && static_cast<size_t>(n) == bytes && __builtin_memcmp(text, args.link, bytes) == 0;
  if (same) return 0;
  context.say("something else is there already");
  return -EEXIST;
}

long mount_bind(Context& context, const MountArgs& args) {
  if ((args.flags & steps::kCopySymlink) != 0 && args.link != nullptr) {
    return copy_symlink(context, args);
  }
  Owned opened(-1);
  int source = args.source_fd;
  if (source < 0) {
    unsigned flags = OPEN_TREE_CLONE;
    if ((args.flags & steps::kRecursive) != 0) flags |= AT_RECURSIVE;
    if ((args.flags & steps::kNoFollowSource) != 0) flags |= AT_SYMLINK_NOFOLLOW;
    opened.reset(kernel::open_tree(AT_FDCWD, args.source, flags));
    source = opened.get();
    if (source < 0) return source;
  }
  if (const long result = apply_attributes(source, args); result < 0) return result;
  Owned target(open_mount_target(context, args, source));
  if (target.get() < 0) return target.get();
  return kernel::move_mount(source, target.get());
}

// Changes only what the config names: attributes that the mount's owner locked stay as they are
// (mount_namespaces(7)), which mount(2) with MS_REMOUNT would have to read first and repeat.
long remount(Context& context, const MountArgs& args) {
  Owned target(open_target(context.root_fd, args.target, {}));
  if (target.get() < 0) return target.get();
  if (args.options.count > 0) {
    Owned filesystem(
        raw::call(__NR_fspick, target.get(), raw::ptr(""), FSPICK_EMPTY_PATH | FSPICK_CLOEXEC));
    if (filesystem.get() < 0) return filesystem.get();
    if (const long result = set_options(context, filesystem.get(), args); result < 0) return result;
    const long result =
        kernel::fsconfig(filesystem.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr);
    if (result < 0) {
      say_kernel_log(context, filesystem.get());
      return result;
    }
  }
  const long result = apply_attributes(target.get(), args);
  if (result == -EINVAL) context.say("the target is not a mount");
  return result;
}

}  // namespace

long apply_attributes(int mount, const MountArgs& args) {
  const steps::MountAttributes* both[] = {&args.attributes, &args.recursive_attributes};
  for (const steps::MountAttributes* one : both) {
    if (one->set == 0 && one->clear == 0 && one->propagation == 0) continue;
    const long result = kernel::mount_setattr(mount, one->set, one->clear,
                                              one->propagation & ~kRecursiveFlag, one->recursive);
    if (result < 0) return result;
  }
  return 0;
}

long make_filesystem(Context& context, const MountArgs& args, int mode_from) {
  Owned filesystem(raw::call(__NR_fsopen, raw::ptr(args.type), FSOPEN_CLOEXEC));
  if (filesystem.get() < 0) {
    if (filesystem.get() == -ENODEV) context.say("this kernel does not know the filesystem");
    return filesystem.get();
  }
  long result = 0;
  if (args.source != nullptr) {
    result = kernel::fsconfig(filesystem.get(), FSCONFIG_SET_STRING, "source", args.source);
  }
  if (result == 0 && mode_from >= 0) result = set_mode_of(filesystem.get(), mode_from);
  if (result == 0) result = set_options(context, filesystem.get(), args);
  if (result < 0) return result;
  result = kernel::fsconfig(filesystem.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr);
  if (result == 0) {
    result = raw::call(__NR_fsmount, filesystem.get(), FSMOUNT_CLOEXEC,
                       static_cast<long>(args.attributes.set));
  }
  if (result < 0) say_kernel_log(context, filesystem.get());
  return result;
}

long open_mount_target(Context& context, const MountArgs& args, int source) {
  bool file = (args.flags & steps::kTargetIsFile) != 0;
  if (source >= 0 && !file) {
    struct statx what {};
    if (const long result = kernel::statx(source, &what); result < 0) return result;
    file = !kernel::is_directory(what);
  }
  LookupRules rules;
  rules.missing = file ? Missing::kMakeFile : Missing::kMakeDirectory;
  rules.last_not_followed = (args.flags & steps::kNoFollowTarget) != 0;
  rules.no_links = (args.flags & steps::kTargetNoLinks) != 0;
  const long target = open_target(context.root_fd, args.target, rules);
  if (target < 0) {
    if (target == -ELOOP && rules.no_links) context.say("a symbolic link is on the way");
    return target;
  }
  const long fair = check_target(context, args, static_cast<int>(target), source);
  if (fair < 0) raw::close(static_cast<int>(target));
  return fair < 0 ? fair : target;
}

long mount(Context& context, const MountArgs& args) {
  switch (args.kind) {
    case steps::MountKind::kFilesystem:
      return mount_filesystem(context, args);
    case steps::MountKind::kBind:
      return mount_bind(context, args);
    case steps::MountKind::kRemount:
      return remount(context, args);
  }
  return -EINVAL;
}

}  // namespace vrun::rootfs
