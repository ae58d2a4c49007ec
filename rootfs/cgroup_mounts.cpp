// Mounts of type "cgroup": what a guest finds at /sys/fs/cgroup.
//
// In a cgroup namespace of its own it gets fresh mounts, whose root the kernel places at the
// container's group; otherwise its own directories are bound, so that the host's stay unseen.
#include <linux/mount.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "rootfs/mounts.hpp"

namespace vrun::rootfs {
namespace {

using Part = cgroups::Group::MountPart;

constexpr std::uint64_t kSafe = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

struct Target {
  std::string path;
  std::uint64_t attributes;
  std::uint64_t propagation;
  std::string where;
};

// Opened by the stage: the group is made between planning and clone.
void add_bind(MountPlanner& planner, const Part& part, const Target& target) {
  steps::MountArgs args{};
  args.kind = steps::MountKind::kBind;
  args.source_fd = -1;
  args.source = planner.builder.text(part.host_dir);
  args.target = planner.builder.text(target.path);
  args.attributes.set = target.attributes;
  args.attributes.propagation = target.propagation != 0 ? target.propagation : MS_PRIVATE;
  planner.builder.add(steps::Op::kMount, args, {target.where, ""});
}

void add_fresh(MountPlanner& planner, const Part& part, const Target& target) {
  const MountOptions options = parse_options({part.options});
  add_filesystem_mount(planner.builder,
                       {.type = part.v2 ? "cgroup2" : "cgroup",
                        .source = "cgroup",
                        .target = target.path,
                        .attributes = {.set = target.attributes},
                        .propagation = target.propagation,
                        .options = options.filesystem,
                        .data = options.data},
                       target.where);
}

void add_part(MountPlanner& planner, const Part& part, const Target& target) {
  if (planner.options.cgroup_namespace) {
    add_fresh(planner, part, target);
  } else {
    add_bind(planner, part, target);
  }
}

// "cpu,cpuacct" is also found as "cpu" and as "cpuacct".
void add_aliases(MountPlanner& planner, const Part& part, const Target& target) {
  if (part.name.find(',') == std::string::npos) return;
  std::size_t start = 0;
  while (start <= part.name.size()) {
    const std::size_t end = std::min(part.name.find(',', start), part.name.size());
    const std::string alias = part.name.substr(start, end - start);
    const steps::SymlinkArgs args{planner.builder.text(part.name),
                                  planner.builder.text(fs::join(target.path, alias)), false};
    planner.builder.add(steps::Op::kMakeSymlink, args, {target.where, ""});
    start = end + 1;
  }
}

// One tmpfs with a directory for each hierarchy.
void plan_many(MountPlanner& planner, const std::vector<Part>& parts, const Target& target) {
  add_filesystem_mount(
      planner.builder,
      {.type = "tmpfs",
       .source = "tmpfs",
       .target = target.path,
       .attributes = {.set = (target.attributes | kSafe) & ~std::uint64_t{MOUNT_ATTR_RDONLY}},
       .propagation = target.propagation,
       .options = {{"mode", "755"}},
       .data = "mode=755"},
      target.where);
  for (const Part& part : parts) {
    Target below = target;
    below.path = fs::join(target.path, part.name);
    below.attributes |= kSafe;
    add_part(planner, part, below);
    add_aliases(planner, part, target);
  }
  if ((target.attributes & MOUNT_ATTR_RDONLY) == 0) return;
  steps::MountArgs args{};
  args.kind = steps::MountKind::kRemount;
  args.source_fd = -1;
  args.target = planner.builder.text(target.path);
  args.attributes.set = MOUNT_ATTR_RDONLY;
  planner.builder.add(steps::Op::kMount, args, {target.where, ""});
}

}  // namespace

Result<void> plan_cgroup_mount(MountPlanner& planner, const oci::Mount& mount,
                               const MountOptions& options, const std::string& where) {
  if (planner.options.cgroup == nullptr) {
    return Error(Code::kUnsupported, "a mount of type cgroup needs a cgroup of the container");
  }
  const Target target{target_of(mount), options.attributes.set | options.recursive_attributes.set,
                      options.propagation, where};
  const std::vector<Part> parts = planner.options.cgroup->mount_parts();
  if (parts.empty()) {
    log::warning(where + ": the guest has no cgroup of its own, so " + printable(target.path) +
                 " is empty in it");
  }
  if (parts.size() == 1 && parts.front().name.empty()) {
    add_part(planner, parts.front(), target);
    return {};
  }
  plan_many(planner, parts, target);
  return {};
}

}  // namespace vrun::rootfs
