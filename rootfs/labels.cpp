#include "rootfs/labels.hpp"

#include <fcntl.h>
#include <linux/magic.h>

#include "base/sys.hpp"
#include "rootfs/mounts.hpp"

namespace vrun::rootfs {
namespace {

bool is_selinux_on() {
  const auto fd = sys::open(At::cwd(), "/sys/fs/selinux", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return fd && sys::fs_magic(fd->get()) == SELINUX_MAGIC;
}

// Their files are labelled by the policy itself.
bool is_labelled_by_policy(const std::string& type) {
  return type == "proc" || type == "sysfs" || type == "cgroup" || type == "cgroup2";
}

}  // namespace

Result<void> add_label(const std::string& label, FilesystemMount& mount) {
  if (label.empty() || is_labelled_by_policy(mount.type)) return {};
  if (!is_selinux_on()) {
    return Error(Code::kUnsupported, "a mount label needs SELinux, which is off on this host")
        .at("linux.mountLabel")
        .hint("remove linux.mountLabel");
  }
  mount.options.push_back({"context", label});
  if (!mount.data.empty()) mount.data += ',';
  mount.data += "context=\"" + label + "\"";
  return {};
}

}  // namespace vrun::rootfs
