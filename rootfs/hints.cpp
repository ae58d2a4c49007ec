// What a fault of one of our steps means for whoever wrote the config.
#include <cerrno>
#include <string_view>

#include "rootfs/plan.hpp"

namespace vrun::rootfs {
namespace {

using steps::MountArgs;
using steps::MountKind;

std::string_view text_of(steps::Text text) {
  return text == nullptr ? std::string_view() : std::string_view(text);
}

std::string hint_for_filesystem(std::string_view type, int sys_errno) {
  const bool denied = sys_errno == EPERM || sys_errno == EACCES;
  if (type == "sysfs" && denied) {
    return "a user namespace may mount sysfs only with a network namespace of its own; bind the "
           "host's: {\"type\": \"bind\", \"source\": \"/sys\", \"options\": [\"rbind\", \"ro\"]}";
  }
  if (type == "proc" && denied) {
    return "a user namespace may mount proc only with a pid namespace of its own, and where the "
           "host's /proc is not itself masked";
  }
  if (type.starts_with("cgroup") && denied) {
    return "a user namespace may mount cgroups only with a cgroup namespace of its own; add one, "
           "or "
           "bind the host's /sys/fs/cgroup";
  }
  if (type == "mqueue" && denied) return "it needs an ipc namespace of the container's own";
  if (type == "devpts" && sys_errno == EINVAL) {
    return "the group of gid= must be mapped in the user namespace; drop the option";
  }
  if (denied) return "in a user namespace only few filesystems may be mounted, and this is none";
  return "";
}

std::string hint_for_mount(const MountArgs& args, int sys_errno) {
  if (args.kind == MountKind::kFilesystem) {
    return hint_for_filesystem(text_of(args.type), sys_errno);
  }
  if (args.kind == MountKind::kBind && args.source_fd < 0 && sys_errno == ENOENT) {
    return "create " + std::string(text_of(args.source)) + " on the host, or drop the mount";
  }
  if (args.kind == MountKind::kBind && args.source_fd < 0 && sys_errno == EINVAL) {
    return "in a user namespace a directory with mounts below it must be bound with rbind";
  }
  if (args.kind == MountKind::kRemount && sys_errno == EPERM) {
    return "the host locked an option of this mount, which a user namespace cannot clear";
  }
  return "";
}

std::string hint_for_root(int sys_errno) {
  if (sys_errno == EACCES) {
    return "every directory above the root must be searchable (x) for the container's root user";
  }
  if (sys_errno == ESTALE) return "the root was replaced while the container was made; try again";
  return "";
}

}  // namespace

std::string hint_for(const steps::Step& step, int sys_errno) {
  switch (step.op) {
    case steps::Op::kMount:
      return hint_for_mount(*static_cast<const MountArgs*>(step.args), sys_errno);
    case steps::Op::kCopyUp:
      return hint_for_mount(static_cast<const steps::CopyUpArgs*>(step.args)->mount, sys_errno);
    case steps::Op::kRoot:
      return hint_for_root(sys_errno);
    case steps::Op::kPivot:
      if (sys_errno == EINVAL) return "the host's root is an initramfs or a chroot: use --no-pivot";
      return "";
    case steps::Op::kSysctl:
      if (sys_errno == EROFS || sys_errno == EACCES || sys_errno == EPERM) {
        return "only keys of the container's own namespaces can be set";
      }
      return "";
    case steps::Op::kDevice:
      if (sys_errno == EPERM) return "device nodes cannot be made here (user namespace, nodev)";
      return "";
    default:
      return "";
  }
}

}  // namespace vrun::rootfs
