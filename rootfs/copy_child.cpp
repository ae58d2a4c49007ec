// kCopyUp (tmpcopyup): a tmpfs that starts with what the image has at its place.
//
// The copy is made in the tmpfs while it is still detached, by descriptors on both sides, and no
// link is followed. Owners, modes, times and extended attributes come along; a file with several
// names is copied once for each name.
#include "rootfs/kernel_child.hpp"
#include "rootfs/mount_child.hpp"
#include "rootfs/paths_child.hpp"
#include "rootfs/rootfs_child.hpp"

namespace vrun::rootfs {
namespace {

using kernel::Owned;
using steps::Context;

constexpr unsigned kMaxDepth = 64;  // the stage's stack is small; images are not that deep
constexpr long kNoFollow = AT_SYMLINK_NOFOLLOW;

struct Entry {  // struct linux_dirent64 (getdents64(2))
  uint64_t inode;
  int64_t next;
  unsigned short bytes;
  unsigned char type;
  char name[8];  // as long as it is
};

struct KernelTime {
  int64_t seconds;
  int64_t nanoseconds;
};

[[gnu::noinline]] long set_times(int at, const char* name, long flags, const struct statx& from) {
  const KernelTime times[2] = {{from.stx_atime.tv_sec, from.stx_atime.tv_nsec},
                               {from.stx_mtime.tv_sec, from.stx_mtime.tv_nsec}};
  return raw::call(__NR_utimensat, at, raw::ptr(name), raw::ptr(times), flags);
}

// Attributes that the tmpfs cannot hold (user.* before Linux 6.6) are left out: the file is
// usable without them, and the container would lose them on any tmpfs.
[[gnu::noinline]] long copy_xattrs(int from, int to) {
  char names[4096];
  char value[16384];
  const long listed = raw::call(__NR_flistxattr, from, raw::ptr(names), sizeof names);
  if (listed == -EOPNOTSUPP) return 0;
  if (listed < 0) return listed;
  for (long at = 0; at < listed; at += static_cast<long>(raw::length(names + at)) + 1) {
    const long bytes =
        raw::call(__NR_fgetxattr, from, raw::ptr(names + at), raw::ptr(value), sizeof value);
    if (bytes < 0) return bytes;
    const long set = raw::call(__NR_fsetxattr, to, raw::ptr(names + at), raw::ptr(value), bytes, 0);
    if (set < 0 && set != -EOPNOTSUPP) return set;
  }
  return 0;
}

// Owner before mode: chown(2) clears set-user-ID bits. Times last: all else changes them.
[[gnu::noinline]] long copy_attributes(int from, int to, const struct statx& about) {
  long result = raw::call(__NR_fchown, to, about.stx_uid, about.stx_gid);
  if (result == 0) result = raw::call(__NR_fchmod, to, about.stx_mode & 07777U);
  if (result == 0) result = copy_xattrs(from, to);
  return result == 0 ? set_times(to, nullptr, 0, about) : result;
}

[[gnu::noinline]] long copy_bytes(int from, int to) {
  constexpr long kPiece = 1L << 30;
  while (true) {
    const long n = raw::call(__NR_sendfile, to, from, 0, kPiece);
    if (n <= 0) return n;
  }
}

[[gnu::noinline]] long copy_file(int from_dir, int to_dir, const char* name,
                                 const struct statx& about) {
  Owned from(raw::openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (from.get() < 0) return from.get();
  Owned to(raw::openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (to.get() < 0) return to.get();
  const long result = copy_bytes(from.get(), to.get());
  return result == 0 ? copy_attributes(from.get(), to.get(), about) : result;
}

[[gnu::noinline]] long copy_link(int from_dir, int to_dir, const char* name,
                                 const struct statx& about) {
  char text[steps::kMaxPath];
  const long n = raw::call(__NR_readlinkat, from_dir, raw::ptr(name), raw::ptr(text),
                           static_cast<long>(sizeof text) - 1);
  if (n < 0) return n;
  text[n] = '\0';
  long result = raw::call(__NR_symlinkat, raw::ptr(text), to_dir, raw::ptr(name));
  if (result == 0) {
    result =
        raw::call(__NR_fchownat, to_dir, raw::ptr(name), about.stx_uid, about.stx_gid, kNoFollow);
  }
  return result == 0 ? set_times(to_dir, name, kNoFollow, about) : result;
}

// Devices, fifos and sockets.
[[gnu::noinline]] long copy_node(int to_dir, const char* name, const struct statx& about) {
  const uint64_t minor = about.stx_rdev_minor;
  const uint64_t number =
      (minor & 0xffU) | (uint64_t{about.stx_rdev_major} << 8U) | ((minor & ~uint64_t{0xff}) << 12U);
  long result = raw::call(__NR_mknodat, to_dir, raw::ptr(name), kernel::type_of(about),
                          static_cast<long>(number));
  if (result == 0) {
    result =
        raw::call(__NR_fchownat, to_dir, raw::ptr(name), about.stx_uid, about.stx_gid, kNoFollow);
  }
  if (result == 0) {
    result = raw::call(__NR_fchmodat, to_dir, raw::ptr(name), about.stx_mode & 07777U);
  }
  return result == 0 ? set_times(to_dir, name, kNoFollow, about) : result;
}

long copy_directory(Context& context, int from, int to, unsigned depth);

[[gnu::noinline]] long copy_subdirectory(Context& context, int from_dir, int to_dir,
                                         const char* name, const struct statx& about,
                                         unsigned depth) {
  Owned from(raw::openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (from.get() < 0) return from.get();
  long result = raw::call(__NR_mkdirat, to_dir, raw::ptr(name), 0700);
  if (result < 0) return result;
  Owned to(raw::openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (to.get() < 0) return to.get();
  result = copy_directory(context, from.get(), to.get(), depth + 1);
  return result == 0 ? copy_attributes(from.get(), to.get(), about) : result;
}

long copy_entry(Context& context, int from, int to, const char* name, unsigned depth) {
  struct statx about {};
  const long result = kernel::statx_at(from, name, &about);
  if (result < 0) return result;
  switch (kernel::type_of(about)) {
    case kernel::kDirectory:
      return copy_subdirectory(context, from, to, name, about, depth);
    case kernel::kRegular:
      return copy_file(from, to, name, about);
    case kernel::kLink:
      return copy_link(from, to, name, about);
    default:
      return copy_node(to, name, about);
  }
}

bool is_dot(const char* name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

long copy_directory(Context& context, int from, int to, unsigned depth) {
  if (depth > kMaxDepth) {
    context.say("the directory is nested too deeply to be copied");
    return -ENAMETOOLONG;
  }
  alignas(Entry) char entries[1024];
  while (true) {
    const long bytes = raw::call(__NR_getdents64, from, raw::ptr(entries), sizeof entries);
    if (bytes <= 0) return bytes;
    for (long at = 0; at < bytes;) {
      const auto* entry = reinterpret_cast<const Entry*>(entries + at);
      at += entry->bytes;
      if (is_dot(entry->name)) continue;
      const long result = copy_entry(context, from, to, entry->name, depth);
      if (result < 0 && context.note_bytes == 0) {
        context.say("copying ");
        context.say(entry->name);
      }
      if (result < 0) return result;
    }
  }
}

bool equals(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) {
    ++a;
    ++b;
  }
  return *a == *b;
}

bool names_owner(const steps::MountArgs& mount) {
  for (uint32_t i = 0; i < mount.options.count; ++i) {
    const char* key = mount.options.data[i].key;
    if (equals(key, "uid") || equals(key, "gid")) return true;
  }
  return false;
}

// The tmpfs's own directory belongs to whom the image's directory belonged, unless told otherwise.
long copy_owner(int from, int to, const steps::MountArgs& mount) {
  if (names_owner(mount)) return 0;
  struct statx about {};
  if (const long result = kernel::statx(from, &about); result < 0) return result;
  return raw::call(__NR_fchown, to, about.stx_uid, about.stx_gid);
}

}  // namespace

long copy_up(Context& context, const steps::CopyUpArgs& args) {
  const steps::MountArgs& what = args.mount;
  Owned place(open_target(context.root_fd, what.target, {.missing = Missing::kMakeDirectory}));
  if (place.get() < 0) return place.get();
  const bool keep_mode = (what.flags & steps::kKeepMode) != 0;
  Owned tmpfs(make_filesystem(context, what, keep_mode ? place.get() : -1));
  if (tmpfs.get() < 0) return tmpfs.get();
  Owned from(raw::openat(place.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (from.get() < 0) return from.get();
  Owned to(raw::openat(tmpfs.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (to.get() < 0) return to.get();
  long result = copy_directory(context, from.get(), to.get(), 0);
  if (result == 0) result = copy_owner(from.get(), to.get(), what);
  if (result < 0) return result;
  if (what.attributes.propagation != 0) {
    result = kernel::mount_setattr(tmpfs.get(), 0, 0,
                                   what.attributes.propagation & ~uint64_t{MS_REC}, false);
    if (result < 0) return result;
  }
  Owned target(open_mount_target(context, what, tmpfs.get()));
  return target.get() < 0 ? target.get() : kernel::move_mount(tmpfs.get(), target.get());
}

}  // namespace vrun::rootfs
