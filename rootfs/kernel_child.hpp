// The kernel's file and mount calls as the child halves of this folder use them.
//
// Thin and typed over base/raw_child.hpp; every call answers as the kernel does (-errno). Works
// with the kernel's own headers only, so it also compiles into the freestanding stage.
#pragma once

#include <asm/statfs.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "base/raw_child.hpp"

namespace vrun::rootfs::kernel {

// A descriptor closed at the end of its scope.
class Owned {
 public:
  explicit Owned(long fd) : fd_(static_cast<int>(fd)) {}
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { close_now(); }
  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(long fd) {
    close_now();
    fd_ = static_cast<int>(fd);
  }

 private:
  void close_now() const {
    if (fd_ >= 0) raw::close(fd_);
  }
  int fd_;
};

inline constexpr uint64_t kInRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

inline long openat2(int at, const char* path, uint64_t flags, uint64_t resolve, uint64_t mode = 0) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  // EAGAIN: a rename or mount somewhere on the host while ".." was resolved (openat2(2)).
  constexpr int kMaxTries = 128;
  long result = -EAGAIN;
  for (int i = 0; i < kMaxTries && result == -EAGAIN; ++i)
    result = raw::call(__NR_openat2, at, raw::ptr(path), raw::ptr(&how), sizeof how);
  return result;
}

// What `fd` itself is (also an O_PATH descriptor, also of a symbolic link).
inline long statx(int fd, struct statx* out) {
  return raw::call(__NR_statx, fd, raw::ptr(""), AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID,
                   raw::ptr(out));
}

// What `name` in a directory is; a link is itself.
inline long statx_at(int at, const char* name, struct statx* out) {
  return raw::call(__NR_statx, at, raw::ptr(name), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS,
                   raw::ptr(out));
}

// The f_type of the filesystem that `fd` lies on, or -errno.
inline long filesystem_of(int fd) {
  struct statfs about {};
  const long result = raw::call(__NR_fstatfs, fd, raw::ptr(&about));
  return result < 0 ? result : static_cast<long>(about.f_type);
}

inline long open_tree(int at, const char* path, unsigned flags) {
  return raw::call(__NR_open_tree, at, raw::ptr(path), flags | OPEN_TREE_CLOEXEC);
}

inline long move_mount(int mount, int onto) {
  return raw::call(__NR_move_mount, mount, raw::ptr(""), onto, raw::ptr(""),
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

inline long mount_setattr(int mount, uint64_t set, uint64_t clear, uint64_t propagation,
                          bool recursive) {
  mount_attr attr{};
  attr.attr_set = set;
  attr.attr_clr = clear;
  attr.propagation = propagation;
  return raw::call(__NR_mount_setattr, mount, raw::ptr(""),
                   AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), raw::ptr(&attr), sizeof attr);
}

inline long fsconfig(int context, unsigned command, const char* key, const void* value) {
  return raw::call(__NR_fsconfig, context, command, raw::ptr(key), raw::ptr(value), 0);
}

// The file types of st_mode, inode(7). <linux/stat.h> leaves them out where a C library has them.
inline constexpr uint32_t kTypeMask = 0170000;
inline constexpr uint32_t kLink = 0120000;
inline constexpr uint32_t kRegular = 0100000;
inline constexpr uint32_t kDirectory = 0040000;
inline constexpr uint32_t kCharacter = 0020000;
inline constexpr uint32_t kFifo = 0010000;

inline uint32_t type_of(const struct statx& about) {
  return about.stx_mode & kTypeMask;
}
inline bool is_directory(const struct statx& about) {
  return type_of(about) == kDirectory;
}
inline bool is_link(const struct statx& about) {
  return type_of(about) == kLink;
}

}  // namespace vrun::rootfs::kernel
