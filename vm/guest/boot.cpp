#include "vm/guest/boot.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/links.hpp"

namespace vrun::vm {
namespace {

constexpr const char *kModules = "/modules", *kFileSystems = "/filesystems";
constexpr unsigned kSecret = MS_NOSUID | MS_NOEXEC | MS_NODEV;

Result<void> load_module(const Fd& directory, const std::string& name) {
  const Fd file = TRY(sys::open(directory, name, O_RDONLY));
  if (::syscall(SYS_finit_module, file.get(), "", 0) == 0 || errno == EEXIST) return {};
  return Error::system(errno, "load module " + quote(name));
}

Result<void> load_modules(const char* path) {
  Result<Fd> directory = sys::open_dir(At::cwd(), path);
  if (!directory && directory.error().sys_errno() == ENOENT) return {};  // all are built in
  if (!directory) return std::move(directory).error();
  std::vector<std::string> names = TRY(sys::list_dir(directory->get()));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names)
    TRY(load_module(*directory, name));
  // They only take memory now.
  return fs::remove_tree(At::cwd(), path);
}

// pivot_root(2) refuses to leave an initramfs; so everything goes on in a tmpfs on top of it.
Result<void> leave_initramfs() {
  TRY(mount_at("tmpfs", "agent", "/agent", MS_NOSUID | MS_NODEV, "mode=0755,size=16m"));
  for (const char* name : {"proc", "sys", "dev", "run"}) {
    const std::string target = std::string("/agent/") + name;
    TRY(fs::make_dirs(At::cwd(), target, 0755));
    if (std::string_view(name) == "run") continue;
    const std::string source = std::string("/") + name;
    if (::mount(source.c_str(), target.c_str(), nullptr, MS_MOVE, nullptr) != 0)
      return Error::system(errno, "move " + source);
  }
  if (::chdir("/agent") != 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 ||
      ::chroot(".") != 0 || ::chdir("/") != 0)
    return Error::system(errno, "leave the initramfs");
  return {};
}

// All controllers for groups below, so that the guest's own limits work.
Result<void> mount_groups() {
  TRY(mount_at("cgroup2", "cgroup2", "/sys/fs/cgroup", kSecret, "nsdelegate"));
  const std::string controllers =
      TRY(fs::read_file(At::cwd(), "/sys/fs/cgroup/cgroup.controllers", 4096));
  for (const std::string_view controller : split(trim(controllers), ' ')) {
    // One that cannot be delegated (cpu with realtime processes) is missed by nobody here.
    static_cast<void>(fs::write_value(At::cwd(), "/sys/fs/cgroup/cgroup.subtree_control",
                                      "+" + std::string(controller)));
  }
  return {};
}

}  // namespace

Result<void> mount_at(const char* type, const char* source, const char* target, unsigned long flags,
                      const char* data) {
  TRY(fs::make_dirs(At::cwd(), target, 0755));
  if (::mount(source, target, type, flags, data) == 0) return {};
  return Error::system(errno, "mount " + std::string(type) + " on " + target);
}

Result<void> loopback_up() {
  network::LinkTable links = TRY(network::LinkTable::open());
  const std::optional<network::Link> loopback = TRY(links.find("lo"));
  if (!loopback) return {};
  return links.set_up(loopback->index);
}

Result<void> load_file_system(const std::string& type) {
  return load_modules((std::string(kFileSystems) + "/" + type).c_str());
}

Result<void> begin_boot() {
  ::umask(022);
  TRY(mount_at("proc", "proc", "/proc", kSecret));
  TRY(mount_at("sysfs", "sysfs", "/sys", kSecret));
  TRY(mount_at("devtmpfs", "devtmpfs", "/dev", MS_NOSUID));
  return load_modules(kModules);
}

Result<void> boot() {
  TRY(begin_boot());
  TRY(mount_groups());
  TRY(leave_initramfs());
  TRY(loopback_up());
  return mount_at("virtiofs", "root", kGuestRoot, 0);
}

void power_off() {
  ::sync();
  ::reboot(RB_POWER_OFF);
}

}  // namespace vrun::vm
