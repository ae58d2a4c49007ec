#include "engine/live_mount.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

bool has(const oci::Mount& mount, std::string_view option) {
  return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
}

Result<Fd> namespace_of(Pid pid, const char* name) {
  return sys::open(At::cwd(), "/proc/" + std::to_string(pid.value) + "/ns/" + name, O_RDONLY);
}

// From here to attach() it is a child of a program that may have had threads: no memory is taken,
// nothing is thrown; each answers an errno.

int become_the_guests_root(const Fd& users, const Fd& mounts) {
  if (users && ::setns(users.get(), CLONE_NEWUSER) != 0) return errno;
  // Root and working directory are now those of that namespace (setns(2)).
  if (::setns(mounts.get(), CLONE_NEWNS) != 0) return errno;
  if (!users) return 0;
  if (::setgroups(0, nullptr) != 0 || ::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0)
    return errno;
  return 0;
}

int open_place(const char* path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how));
}

// `path` is the child's own copy.
int make_place(char* path, bool directory) {
  ::umask(022);
  for (char* at = path + 1;; ++at) {
    if (*at != '/' && *at != '\0') continue;
    const char end = std::exchange(*at, '\0');
    if (end == '\0' && !directory) {
      const int file = ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
      if (file < 0 && errno != EEXIST) return errno;
    } else if (::mkdir(path, 0755) != 0 && errno != EEXIST) {
      return errno;
    }
    if (end == '\0') return 0;
    *at = end;
  }
}

int attach_there(const Fd& mount, char* target, bool directory) {
  int place = open_place(target);
  if (place < 0) {
    if (const int error = make_place(target, directory); error != 0) return error;
    place = open_place(target);
  }
  if (place < 0) return errno;
  const long done = ::syscall(SYS_move_mount, mount.get(), "", place, "",
                              MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  return done == 0 ? 0 : errno;
}

int detach_there(const char* target) {
  const int place = open_place(target);
  if (place < 0) return errno == ENOENT ? 0 : errno;
  struct statx facts {};
  if (::statx(place, "", AT_EMPTY_PATH, STATX_TYPE, &facts) != 0) return errno;
  ::close(place);  // it would keep the mount busy
  if ((facts.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) return 0;
  return ::umount2(target, UMOUNT_NOFOLLOW) == 0 ? 0 : errno;
}

// The errno of `work` in the guest.
template <typename Work>
Result<int> in_guest(const GuestPlace& place, const Work& work) {
  const pid_t child = ::fork();
  if (child < 0) return Error::system(errno, "enter the guest");
  if (child == 0) {
    const int entered = become_the_guests_root(place.users, place.mounts);
    ::_exit(entered != 0 ? entered : work());
  }
  const Fd process = TRY(sys::pidfd_open(Pid(child)));
  return TRY(sys::wait(process.get())).code();
}

}  // namespace

Result<GuestPlace> guest_place(Pid pid, const Fd& process) {
  GuestPlace place{TRY(namespace_of(pid, "user")), TRY(namespace_of(pid, "mnt"))};
  TRY(sys::pidfd_signal(process.get(), 0));
  const struct stat theirs = TRY(sys::stat(place.users.get()));
  const struct stat ours = TRY(sys::stat(At::cwd(), "/proc/self/ns/user"));
  if (theirs.st_ino == ours.st_ino) place.users.reset();
  return place;
}

Result<Fd> detached_mount(const oci::Mount& mount, const GuestPlace& place) {
  Fd tree = TRY(sys::open_tree(At::cwd(), mount.source, OPEN_TREE_CLONE | AT_RECURSIVE));
  mount_attr attributes{};
  attributes.propagation = MS_PRIVATE;
  attributes.attr_set = MOUNT_ATTR_NODEV | (has(mount, "rro") ? MOUNT_ATTR_RDONLY : 0U);
  TRY(sys::mount_setattr(tree.get(), attributes, AT_RECURSIVE, quote(mount.source)));
  if (!has(mount, "ridmap") || !place.users) return tree;
  mount_attr owners{};
  owners.attr_set = MOUNT_ATTR_IDMAP;
  owners.userns_fd = static_cast<std::uint64_t>(place.users.get());
  Result<void> mapped = sys::mount_setattr(tree.get(), owners, AT_RECURSIVE, quote(mount.source));
  if (mapped) return tree;
  if (mapped.error().sys_errno() != EINVAL || !has(mount, "idmap-if-possible"))
    return std::move(mapped).error();
  // As at a start (rootfs/mounts.cpp): the first mount at least, else as the host has it.
  const bool first = sys::mount_setattr(tree.get(), owners, 0, quote(mount.source)).has_value();
  log::warning(printable(mount.destination) + ": " + (first ? "file systems below " : "") +
               quote(mount.source) +
               " cannot be id-mapped: files there show the host's owners, and the guest's root has "
               "the rights of others");
  return tree;
}

Result<void> attach(const Fd& mount, const GuestPlace& place, const std::string& target) {
  const bool directory = S_ISDIR(TRY(sys::stat(mount.get())).st_mode);
  std::string path = target;
  const int error =
      TRY(in_guest(place, [&] { return attach_there(mount, path.data(), directory); }));
  if (error == 0) return {};
  Error fault = Error::system(error, "mount at " + quote(target) + " in the guest");
  if (error == EROFS) return std::move(fault).hint("vrun stop, vrun update, vrun start");
  return fault;
}

Result<bool> detach(const GuestPlace& place, const std::string& target) {
  const int error = TRY(in_guest(place, [&] { return detach_there(target.c_str()); }));
  if (error == 0) return true;
  if (error == EBUSY) return false;
  return Error::system(error, "unmount " + quote(target) + " in the guest");
}

}  // namespace vrun::engine
