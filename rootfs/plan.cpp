#include "rootfs/plan.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "oci/sysctl.hpp"
#include "rootfs/devices.hpp"
#include "rootfs/mounts.hpp"

namespace vrun::rootfs {
namespace {

struct Propagation {
  std::string_view name;
  std::uint64_t own;   // of the container's root, after the pivot
  std::uint64_t host;  // of the host's mounts as the container has them, before
};

constexpr std::uint64_t kSlaveTree = MS_SLAVE | MS_REC;

// As in runc: "shared" lets mounts of the container reach the host, which is what it is for;
// without any, the container follows the host's mounts and never the other way round.
constexpr auto kPropagations = std::to_array<Propagation>({
    {"", 0, kSlaveTree},
    {"private", 0, MS_PRIVATE | MS_REC},
    {"rprivate", MS_PRIVATE | MS_REC, MS_PRIVATE | MS_REC},
    {"rshared", MS_SHARED | MS_REC, MS_SHARED | MS_REC},
    {"rslave", MS_SLAVE | MS_REC, kSlaveTree},
    {"runbindable", MS_UNBINDABLE | MS_REC, kSlaveTree},
    {"shared", MS_SHARED, MS_SHARED},
    {"slave", MS_SLAVE, kSlaveTree},
    {"unbindable", MS_UNBINDABLE, kSlaveTree},
});

Result<Propagation> propagation_of(const oci::Spec& spec) {
  const auto& name = spec.linux.rootfs_propagation;
  const auto at = std::ranges::find(kPropagations, name, &Propagation::name);
  if (at != kPropagations.end()) return *at;
  return Error(Code::kInvalid, "unknown propagation " + quote(name)).at("linux.rootfsPropagation");
}

Result<void> check_mount_namespace(const oci::Spec& spec) {
  if (oci::find_namespace(spec.linux, oci::NamespaceType::kMount) != nullptr) return {};
  return Error(Code::kUnsupported, "a container needs a mount namespace of its own")
      .at("linux.namespaces")
      .hint("add {\"type\": \"mount\"}");
}

std::string root_path(const oci::Spec& spec, const Options& options) {
  return spec.root.path.starts_with("/") ? spec.root.path
                                         : fs::join(options.bundle_path, spec.root.path);
}

// The root as a directory that is checked here, so that a missing one is this command's error.
Result<Fd> open_root(const oci::Spec& spec, const Options& options) {
  const At bundle = options.bundle != nullptr ? At(*options.bundle) : At::cwd();
  auto root = sys::open(bundle, spec.root.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (!root) {
    return std::move(root).error().at("root.path").hint("unpack the image there first");
  }
  return root;
}

Result<void> plan_root(const oci::Spec& spec, const Options& options, std::uint64_t host,
                       steps::Builder& builder) {
  steps::RootArgs args{};
  args.host_propagation = host;
  args.no_pivot = options.no_pivot;
  args.keep_null = !spec.linux.masked_paths.empty();
  if (options.overlay_root != nullptr) {
    args.path = builder.text("/");
    args.detached = true;
    args.source = builder.inherit_borrowed(options.overlay_root->get());
  } else {
    Fd root = TRY(open_root(spec, options));
    args.path = builder.text(root_path(spec, options));
    args.detached = options.parent_opens_sources;
    if (args.detached) {
      root = TRY(sys::open_tree(root, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE));
    }
    args.source = builder.inherit(std::move(root));
  }
  builder.add(steps::Op::kRoot, args, {"root.path", ""});
  return {};
}

void plan_console(const oci::Spec& spec, const Options& options, steps::Builder& builder) {
  if (!spec.process || !spec.process->terminal) return;
  const oci::ConsoleSize size = spec.process->console_size.value_or(oci::ConsoleSize{});
  constexpr std::uint32_t kKeepGroup = ~0U;  // devpts gave it the group of its gid= option
  steps::ConsoleArgs args{};
  args.socket = options.console_socket;
  args.height = size.height;
  args.width = size.width;
  args.mount_console = true;
  args.uid = spec.process->user.uid.value;
  args.gid = kKeepGroup;
  builder.add(steps::Op::kConsole, args, {"process.terminal", ""});
}

// A tmpfs that is to be read-only could only become so once everything in it was made.
void plan_readonly_tmpfs(const oci::Spec& spec, steps::Builder& builder) {
  for (std::size_t i = 0; i < spec.mounts.size(); ++i) {
    const oci::Mount& mount = spec.mounts[i];
    if (!is_readonly_later(mount, parse_options(mount.options))) continue;
    steps::MountArgs args{};
    args.kind = steps::MountKind::kRemount;
    args.source_fd = -1;
    args.target = builder.text(target_of(mount));
    args.attributes.set = MOUNT_ATTR_RDONLY;
    builder.add(steps::Op::kMount, args, {"mounts[" + std::to_string(i) + "]", ""});
  }
}

Result<void> plan_sysctls(const oci::Spec& spec, steps::Builder& builder) {
  for (const auto& [key, value] : spec.linux.sysctl) {
    const std::string path = oci::sysctl_path(key);
    if (path.empty()) {
      return Error(Code::kInvalid, "not the name of a kernel parameter").at("linux.sysctl." + key);
    }
    const steps::SysctlArgs args{builder.text(path), builder.text(value)};
    builder.add(steps::Op::kSysctl, args, {"linux.sysctl." + key, ""});
  }
  return {};
}

void plan_paths(steps::Op op, const std::vector<std::string>& paths, const std::string& where,
                steps::Builder& builder) {
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const steps::PathArgs args{builder.text(fs::clean("/" + paths[i])), -1};
    builder.add(op, args, {where + "[" + std::to_string(i) + "]", ""});
  }
}

}  // namespace

Result<void> plan_mounts(const oci::Spec& spec, const Options& options, const Host& host,
                         steps::Builder& builder) {
  TRY(check_mount_namespace(spec));
  const Propagation propagation = TRY(propagation_of(spec));
  TRY(plan_root(spec, options, propagation.host, builder));
  MountPlanner mounts{spec, options, host, builder, propagation.host};
  for (std::size_t i = 0; i < spec.mounts.size(); ++i)
    TRY(mounts.plan(i));
  TRY(plan_devices(spec, options, host, builder));
  plan_console(spec, options, builder);
  return {};
}

Result<void> plan_enter(const oci::Spec& spec, const Options& options, const Host& /*host*/,
                        steps::Builder& builder) {
  const Propagation propagation = TRY(propagation_of(spec));
  builder.add(steps::Op::kPivot, steps::PivotArgs{options.no_pivot}, {"root.path", ""});
  plan_readonly_tmpfs(spec, builder);
  if (spec.root.readonly) {
    builder.add(steps::Op::kRootAttributes, steps::RootAttributesArgs{true, 0},
                {"root.readonly", ""});
  }
  TRY(plan_sysctls(spec, builder));
  plan_paths(steps::Op::kReadonlyPath, spec.linux.readonly_paths, "linux.readonlyPaths", builder);
  plan_paths(steps::Op::kMaskPath, spec.linux.masked_paths, "linux.maskedPaths", builder);
  // Last: what is unbindable can no longer be bound over itself.
  if (propagation.own != 0) {
    builder.add(steps::Op::kRootAttributes, steps::RootAttributesArgs{false, propagation.own},
                {"linux.rootfsPropagation", ""});
  }
  return {};
}

std::vector<std::string> mount_options() {
  return known_options();
}

}  // namespace vrun::rootfs
