#include "engine/view/enter.hpp"

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "engine/view/files.hpp"

namespace vrun::view {
namespace {

constexpr std::uint64_t kResolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

std::string namespace_path(Pid guest, const char* name) {
  return "/proc/" + std::to_string(guest.value) + "/ns/" + name;
}

// An image decides what lies at a path, the kernel what it is.
bool is_kernels(const Fd& file) {
  const std::uint64_t magic = sys::fs_magic(file.get());
  return magic == PROC_SUPER_MAGIC || magic == SYSFS_MAGIC;
}

Result<void> cover(const Fd& mount, const FileRow& row) {
  Result<Fd> target = sys::open2(At::cwd(), row.target, O_PATH | O_CLOEXEC, kResolve);
  if (!target && target.error().sys_errno() == ENOENT) return {};
  if (!target) return std::move(target).error();
  if (!is_kernels(*target)) return {};
  const Fd file = TRY(sys::open_tree(mount, row.name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  return sys::move_mount(file.get(), *target, "",
                         MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

Result<void> keep_ptrace_alone() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  data[0].effective = data[0].permitted = 1U << CAP_SYS_PTRACE;
  if (::syscall(SYS_capset, &header, data) != 0) return Error::system(errno, "drop capabilities");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return Error::system(errno, "set no_new_privs");
  ::prctl(PR_SET_DUMPABLE, 0);
  return {};
}

}  // namespace

Result<Fd> make_file_system(const Fd& fuse) {
  const std::vector<std::pair<std::string, std::string>> options{
      {"source", "vrun-view"},    {"fd", std::to_string(fuse.get())},
      {"rootmode", "40555"},      {"user_id", "0"},
      {"group_id", "0"},          {"allow_other", ""},
      {"default_permissions", ""}};  // asks for the attributes at each open, see fuse.cpp
  return sys::make_mount(
      "fuse", options,
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

Result<void> cover_files(Pid guest, const Fd& mount) {
  const Fd mounts = TRY(sys::open(At::cwd(), namespace_path(guest, "mnt"), O_RDONLY));
  TRY(sys::set_namespace(mounts.get(), CLONE_NEWNS));
  // Single files can be cloned only from a mount that is attached (until Linux 6.15), so for this
  // moment it lies over /dev.
  const Fd dev = TRY(sys::open2(At::cwd(), "/dev", O_PATH | O_DIRECTORY | O_CLOEXEC, kResolve));
  TRY(sys::move_mount(mount.get(), dev, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
  for (const FileRow& row : kFiles)
    TRY(cover(mount, row));
  return sys::umount("/dev", MNT_DETACH);
}

Result<void> become_guest_root(Pid guest) {
  const Fd user = TRY(sys::open(At::cwd(), namespace_path(guest, "user"), O_RDONLY));
  const struct stat theirs = TRY(sys::stat(user.get()));
  const struct stat ours = TRY(sys::stat(At::cwd(), "/proc/self/ns/user"));
  if (theirs.st_ino == ours.st_ino) return keep_ptrace_alone();
  TRY(sys::set_namespace(user.get(), CLONE_NEWUSER));
  // EPERM where the namespace denies setgroups (without root): the groups are its maker's then.
  static_cast<void>(::setgroups(0, nullptr));
  if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0)
    return Error::system(errno, "become root of the guest");
  return keep_ptrace_alone();
}

}  // namespace vrun::view
