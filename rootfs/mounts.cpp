#include "rootfs/mounts.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "rootfs/labels.hpp"

namespace vrun::rootfs {
namespace {

// Where files may be put over those of a procfs: the ones that a resource view (lxcfs) replaces
// and the two that engines bind.
constexpr auto kAllowedInProc = std::to_array<std::string_view>({
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
});

// Superblocks that the kernel makes itself: read-only is a matter of the mount alone. Others are
// told as well, because a device that cannot be written is not opened for writing then.
constexpr auto kKernelFilesystems = std::to_array<std::string_view>(
    {"binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "hugetlbfs",
     "mqueue", "proc", "ramfs", "securityfs", "sysfs", "tmpfs", "tracefs"});

bool is_kernel_filesystem(std::string_view type) {
  return std::ranges::find(kKernelFilesystems, type) != kKernelFilesystems.end();
}

bool is_below(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) && path.size() > directory.size() &&
         path[directory.size()] == '/';
}

// The flags that a target asks for; an error if nothing may be mounted there.
Result<std::uint32_t> target_flags(const oci::Mount& mount, const std::string& target, bool bind) {
  if (target == "/") {
    return Error(Code::kInvalid, "a mount on / would hide the root; use root.path instead");
  }
  std::uint32_t flags = 0;
  if (!bind && (mount.type == "proc" || mount.type == "sysfs")) flags |= steps::kTargetNoLinks;
  if (target == "/proc") {
    if (!bind && mount.type != "proc") {
      return Error(Code::kInvalid, "only a procfs may be mounted on /proc");
    }
    return flags | steps::kTargetNoLinks | steps::kTargetIsProc;
  }
  if (!is_below(target, "/proc")) return flags;
  if (std::ranges::find(kAllowedInProc, target) == kAllowedInProc.end()) {
    return Error(Code::kInvalid, "nothing may be mounted on " + quote(target))
        .hint(
            "below /proc only single files that show resources (cpuinfo, meminfo, stat ...) may "
            "be replaced");
  }
  return flags | steps::kAllowInProc;
}

// Words that concern a filesystem as a whole do nothing on a bind: mount(2) would ignore them, so
// whoever wrote them would believe in a protection or limit that is not there.
Result<void> check_bind_options(const MountOptions& options) {
  for (const std::string& word : options.superblock) {
    if (word == "async" || word == "nolazytime" || word == "nomand") continue;
    return Error(Code::kInvalid, "option " + quote(word) + " does not apply to a bind mount");
  }
  if (options.copy_up) {
    return Error(Code::kInvalid, "option 'tmpcopyup' applies to tmpfs, not to a bind mount");
  }
  if (options.filesystem.empty()) return {};
  const FilesystemOption& first = options.filesystem.front();
  // Words of Docker's and Podman's command lines that they hand through.
  if (std::ranges::all_of(options.filesystem, [](const FilesystemOption& one) {
        return one.key == "copy" || one.key == "nocopy" || one.key == "z" || one.key == "Z";
      })) {
    return {};
  }
  const std::vector<std::string> names = known_options();
  const std::vector<std::string_view> views(names.begin(), names.end());
  Error error(Code::kInvalid, "unknown option " + quote(first.key) + " for a bind mount");
  if (const auto near = nearest(first.key, views)) {
    return std::move(error).hint("did you mean " + quote(*near) + "?");
  }
  return error;
}

struct Source {
  Fd mount;
  bool is_file = false;
};

std::string full_source(const MountPlanner& planner, const oci::Mount& mount) {
  if (mount.source.starts_with("/")) return mount.source;
  return fs::join(planner.options.bundle_path, mount.source);
}

At bundle_of(const MountPlanner& planner) {
  return planner.options.bundle != nullptr ? At(*planner.options.bundle) : At::cwd();
}

// EINVAL: the file system does not support it; EPERM: it is mapped already, or belongs to another
// user namespace.
bool is_unmappable(const Error& error) {
  return error.sys_errno() == EINVAL || error.sys_errno() == EPERM;
}

// A tree is mapped wholly or not at all (mount_setattr(2)), and mounts below the root of one that
// is not attached cannot be changed one by one: after the whole tree its first mount is tried.
Result<void> map_what_can_be(const oci::Mount& mount, mount_attr& attr, const Fd& tree) {
  Result<void> mapped = sys::mount_setattr(tree.get(), attr, 0, quote(mount.source));
  if (!mapped && !is_unmappable(mapped.error())) return mapped;
  log::warning(printable(mount.destination) + ": " +
               (mapped ? "other file systems below " + quote(mount.source) + " are"
                       : "the file system of " + quote(mount.source) + " is") +
               " not id-mapped: files there show the host's owners, and the guest's root has the "
               "rights of others");
  return {};
}

Result<void> map_ids(MountPlanner& planner, const oci::Mount& mount, const MountOptions& options,
                     const Fd& tree) {
  const bool own = !mount.uid_mappings.empty() || !mount.gid_mappings.empty();
  const auto& uids = own ? mount.uid_mappings : planner.spec.linux.uid_mappings;
  const auto& gids = own ? mount.gid_mappings : planner.spec.linux.gid_mappings;
  if (uids.empty() || gids.empty()) {
    return Error(Code::kInvalid, "an id-mapped mount needs uidMappings and gidMappings")
        .hint("give them to the mount or to linux");
  }
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<std::uint64_t>(TRY(planner.id_maps.user_namespace(uids, gids)));
  auto mapped = sys::mount_setattr(tree.get(), attr, options.id_map_recursive ? AT_RECURSIVE : 0,
                                   quote(mount.source));
  const bool impossible = !mapped && is_unmappable(mapped.error());
  if (impossible && options.id_map_if_possible) return map_what_can_be(mount, attr, tree);
  if (!mapped && mapped.error().sys_errno() == EINVAL) {
    return std::move(mapped).error().hint("its filesystem may not support id-mapped mounts");
  }
  return mapped;
}

// Opens and clones the source in our mount namespace, before any of the container's is there.
Result<Source> open_source(MountPlanner& planner, const oci::Mount& mount,
                           const MountOptions& options) {
  unsigned flags = OPEN_TREE_CLONE;
  if (options.recursive) flags |= AT_RECURSIVE;
  if (options.source_not_followed) flags |= AT_SYMLINK_NOFOLLOW;
  auto opened = sys::open_tree(bundle_of(planner), mount.source, flags);
  if (!opened) {
    const bool missing = opened.error().sys_errno() == ENOENT;
    Error error = std::move(opened).error();
    if (missing) return std::move(error).hint("create it on the host, or drop the mount");
    return error;
  }
  Source source{std::move(*opened)};
  source.is_file = !S_ISDIR(TRY(sys::stat(source.mount.get())).st_mode);
  if ((options.propagation & (MS_SHARED | MS_SLAVE)) != 0) {
    // As if it had been bound inside: the container's view of the host's mounts comes first.
    mount_attr attr{};
    attr.propagation = planner.host_propagation & ~std::uint64_t{MS_REC};
    TRY(sys::mount_setattr(source.mount.get(), attr, options.recursive ? AT_RECURSIVE : 0,
                           quote(mount.source)));
  }
  return source;
}

// Where the source's link points, if copy-symlink is to make the same link.
Result<std::string> link_of(const MountPlanner& planner, const oci::Mount& mount) {
  const struct stat about = TRY(sys::stat(bundle_of(planner), mount.source, AT_SYMLINK_NOFOLLOW));
  if (!S_ISLNK(about.st_mode)) return std::string();
  return sys::read_link(bundle_of(planner), mount.source);
}

// Nothing spreads to or from the host unless the config says so.
void set_propagation(steps::MountArgs& args, const MountOptions& options) {
  const std::uint64_t asked = options.propagation != 0
                                  ? options.propagation
                                  : MS_PRIVATE | (options.recursive ? std::uint64_t{MS_REC} : 0);
  if ((asked & MS_REC) != 0) {
    args.recursive_attributes.propagation = asked;
    args.recursive_attributes.recursive = true;
  } else {
    args.attributes.propagation = asked;
  }
}

void set_attributes(steps::MountArgs& args, const MountOptions& options) {
  args.attributes.set = options.attributes.set;
  args.attributes.clear = options.attributes.clear;
  args.recursive_attributes.set = options.recursive_attributes.set;
  args.recursive_attributes.clear = options.recursive_attributes.clear;
  args.recursive_attributes.recursive = options.recursive_attributes != AttributeChange{};
}

bool wants_id_map(const oci::Mount& mount, const MountOptions& options) {
  return options.id_map || !mount.uid_mappings.empty() || !mount.gid_mappings.empty();
}

Result<void> plan_bind(MountPlanner& planner, const oci::Mount& mount, const MountOptions& options,
                       std::uint32_t flags, const std::string& where) {
  TRY(check_bind_options(options));
  if (mount.source.empty()) {
    return Error(Code::kInvalid, "a bind mount needs a source").at(where + ".source");
  }
  steps::MountArgs args{};
  args.kind = steps::MountKind::kBind;
  args.flags = flags;
  args.source_fd = -1;
  args.source = planner.builder.text(full_source(planner, mount));
  args.target = planner.builder.text(target_of(mount));
  if (options.recursive) args.flags |= steps::kRecursive;
  if (options.source_not_followed) args.flags |= steps::kNoFollowSource;
  if (options.target_not_followed) args.flags |= steps::kNoFollowTarget;
  set_attributes(args, options);
  set_propagation(args, options);
  const std::string link = options.copy_symlink ? TRY(link_of(planner, mount)) : std::string();
  if (!link.empty()) {
    args.flags |= steps::kCopySymlink;
    args.link = planner.builder.text(link);
  } else if (planner.options.parent_opens_sources) {
    auto source = open_source(planner, mount, options);
    if (!source) return std::move(source).error().at(where + ".source");
    if (source->is_file) args.flags |= steps::kTargetIsFile;
    if (wants_id_map(mount, options)) TRY(map_ids(planner, mount, options, source->mount));
    args.source_fd = planner.builder.inherit(std::move(source->mount));
  } else if (wants_id_map(mount, options)) {
    return Error(Code::kUnsupported, "an id-mapped mount needs root on the host");
  }
  planner.builder.add(steps::Op::kMount, args, {where, ""});
  return {};
}

std::vector<FilesystemOption> all_options(const oci::Mount& mount, const MountOptions& options) {
  std::vector<FilesystemOption> all;
  for (const std::string& word : options.superblock)
    all.push_back({word, std::nullopt});
  if (options.readonly() && !is_kernel_filesystem(mount.type)) all.push_back({"ro", std::nullopt});
  all.insert(all.end(), options.filesystem.begin(), options.filesystem.end());
  return all;
}

steps::Span<steps::FsOption> copy_options(steps::Builder& builder,
                                          const std::vector<FilesystemOption>& options) {
  std::vector<steps::FsOption> copied;
  for (const FilesystemOption& one : options) {
    copied.push_back({builder.text(one.key), one.value ? builder.text(*one.value) : nullptr});
  }
  return builder.array(std::span<const steps::FsOption>(copied));
}

void plan_remount(MountPlanner& planner, const oci::Mount& mount, const MountOptions& options,
                  bool bind, const std::string& where) {
  steps::MountArgs args{};
  args.kind = steps::MountKind::kRemount;
  args.source_fd = -1;
  args.target = planner.builder.text(target_of(mount));
  if (!bind) args.options = copy_options(planner.builder, all_options(mount, options));
  set_attributes(args, options);
  if (options.propagation != 0) set_propagation(args, options);
  planner.builder.add(steps::Op::kMount, args, {where, ""});
}

Result<void> plan_filesystem(MountPlanner& planner, const oci::Mount& mount,
                             const MountOptions& options, std::uint32_t flags,
                             const std::string& where) {
  if (options.copy_up && mount.type != "tmpfs") {
    return Error(Code::kInvalid, "option 'tmpcopyup' applies to tmpfs, not to " + mount.type);
  }
  if (wants_id_map(mount, options)) {
    return Error(Code::kUnsupported, "only bind mounts can be id-mapped");
  }
  FilesystemMount made{.type = mount.type,
                       .source = mount.source.empty() ? mount.type : mount.source,
                       .target = target_of(mount),
                       .flags = flags,
                       .attributes = options.attributes,
                       .propagation = options.propagation,
                       .options = all_options(mount, options),
                       .data = options.data};
  made.attributes.set |= options.recursive_attributes.set;
  if (is_readonly_later(mount, options)) made.attributes.set &= ~std::uint64_t{MOUNT_ATTR_RDONLY};
  if (options.target_not_followed) made.flags |= steps::kNoFollowTarget;
  const bool has_mode = std::ranges::any_of(
      options.filesystem, [](const FilesystemOption& one) { return one.key == "mode"; });
  if (mount.type == "tmpfs" && !has_mode) made.flags |= steps::kKeepMode;
  TRY(add_label(planner.spec.linux.mount_label, made));
  add_filesystem_mount(planner.builder, made, where, options.copy_up);
  return {};
}

Result<void> plan_one(MountPlanner& planner, const oci::Mount& mount, const std::string& where) {
  const MountOptions options = parse_options(mount.options);
  const bool bind = is_bind(mount, options);
  if (options.remount) {
    plan_remount(planner, mount, options, bind, where);
    return {};
  }
  const std::uint32_t flags = TRY(target_flags(mount, target_of(mount), bind));
  if (bind) return plan_bind(planner, mount, options, flags, where);
  if (mount.type == "cgroup") return plan_cgroup_mount(planner, mount, options, where);
  if (mount.type.empty() || mount.type == "none") {
    if (options.propagation == 0) return Error(Code::kInvalid, "type is missing");
    plan_remount(planner, mount, options, true, where);  // only the propagation changes
    return {};
  }
  return plan_filesystem(planner, mount, options, flags, where);
}

}  // namespace

std::string target_of(const oci::Mount& mount) {
  return fs::clean("/" + mount.destination);  // a relative one counts from the root, as in runc
}

bool is_bind(const oci::Mount& mount, const MountOptions& options) {
  return options.bind || mount.type == "bind";
}

bool is_readonly_later(const oci::Mount& mount, const MountOptions& options) {
  return mount.type == "tmpfs" && !is_bind(mount, options) && !options.remount &&
         options.readonly();
}

void add_filesystem_mount(steps::Builder& builder, const FilesystemMount& mount,
                          const std::string& where, bool copy_up) {
  steps::MountArgs args{};
  args.kind = steps::MountKind::kFilesystem;
  args.flags = mount.flags;
  args.type = builder.text(mount.type);
  args.source = builder.text(mount.source);
  args.source_fd = -1;
  args.target = builder.text(mount.target);
  args.options = copy_options(builder, mount.options);
  args.attributes.set = mount.attributes.set;  // a new mount has nothing to clear
  args.attributes.propagation = mount.propagation;
  args.data = builder.text(mount.data);
  if (copy_up) {
    builder.add(steps::Op::kCopyUp, steps::CopyUpArgs{args}, {where, ""});
  } else {
    builder.add(steps::Op::kMount, args, {where, ""});
  }
}

Result<void> MountPlanner::plan(std::size_t index) {
  const oci::Mount& mount = spec.mounts[index];
  const std::string where = "mounts[" + std::to_string(index) + "]";
  auto planned = plan_one(*this, mount, where);
  if (planned) return {};
  Error error = std::move(planned).error();
  if (error.where().empty()) return std::move(error).at(where);
  return error;
}

}  // namespace vrun::rootfs
