#include "runtime/outside.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "rootfs/mounts.hpp"
#include "runtime/mount_table.hpp"

namespace vrun::runtime {
namespace {

using oci::NamespaceType;

constexpr std::size_t kMaxTableBytes = 16U << 20U;
constexpr int kStdioCount = 3;

// Namespaces that CRIU can leave as they are, and under which names runc's images know them.
struct ExternalNamespace {
  NamespaceType type;
  const char* file;  // of /proc/PID/ns
  const char* key;
};
constexpr auto kExternalNamespaces = std::to_array<ExternalNamespace>({
    {NamespaceType::kNetwork, "net", "extRootNetNS"},
    {NamespaceType::kPid, "pid", "extRootPidNS"},
});

// Those that a restored process can join instead of getting a new one (criu --join-ns).
struct JoinedNamespace {
  NamespaceType type;
  const char* name;
};
constexpr auto kJoinedNamespaces = std::to_array<JoinedNamespace>({
    {NamespaceType::kIpc, "ipc"},
    {NamespaceType::kUts, "uts"},
});

constexpr auto kDefaultDevices = std::to_array<std::string_view>(
    {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"});

bool is_bind(const oci::Mount& mount) {
  return rootfs::is_bind(mount, rootfs::parse_options(mount.options));
}

bool has_cgroup_binds(const oci::Spec& spec) {
  return oci::find_namespace(spec.linux, NamespaceType::kCgroup) == nullptr;
}

std::string proc_path(Pid pid, const std::string& name) {
  return "/proc/" + std::to_string(pid.value) + "/" + name;
}

std::vector<std::string> device_paths(const oci::Spec& spec) {
  std::vector<std::string> paths(kDefaultDevices.begin(), kDefaultDevices.end());
  for (const oci::Device& device : spec.linux.devices)
    paths.push_back(fs::clean(device.path));
  return paths;
}

// The container as its own process sees it.
class View {
 public:
  static Result<View> open(Pid pid) {
    View view;
    const std::string text =
        TRY(fs::read_file(At::cwd(), proc_path(pid, "mountinfo"), kMaxTableBytes));
    view.table_ = TRY(parse_mount_table(text));
    view.root_ = TRY(sys::open(At::cwd(), proc_path(pid, "root"), O_PATH | O_DIRECTORY));
    return view;
  }

  const std::vector<MountLine>& table() const { return table_; }
  // The mount that `path` lies on; nullptr when there is nothing of that name.
  Result<const MountLine*> mount_at(const std::string& path) const {
    const Result<Fd> place =
        sys::open2(root_, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (!place) return nullptr;
    const std::string info =
        TRY(fs::read_file(At::cwd(), "/proc/self/fdinfo/" + std::to_string(place->get()), 8192));
    return find_mount(table_, TRY(parse_mount_id(info)));
  }

 private:
  View() = default;
  std::vector<MountLine> table_;
  Fd root_;
};

void add_external(const MountLine& line, Outside& outside) {
  const criu::Pair entry{line.point, line.point};
  if (line.point == "/" || std::ranges::find(outside.mounts, entry) != outside.mounts.end()) return;
  outside.mounts.push_back(entry);
}

Result<void> find_binds(const oci::Spec& spec, const View& view, Outside& outside) {
  for (const oci::Mount& mount : spec.mounts) {
    if (!is_bind(mount)) continue;
    const MountLine* line = TRY(view.mount_at(rootfs::target_of(mount)));
    if (line != nullptr) add_external(*line, outside);
  }
  return {};
}

// Masked files and, in a user namespace, device nodes are single files of the host, bound in place.
Result<void> find_bound_files(const oci::Spec& spec, const View& view, Outside& outside) {
  std::vector<std::string> paths = device_paths(spec);
  paths.insert(paths.end(), spec.linux.masked_paths.begin(), spec.linux.masked_paths.end());
  for (const std::string& path : paths) {
    const MountLine* line = TRY(view.mount_at(path));
    if (line != nullptr && line->root != "/" && line->point == fs::clean(path))
      add_external(*line, outside);
  }
  return {};
}

void find_cgroup_binds(const oci::Spec& spec, const View& view, Outside& outside) {
  if (!has_cgroup_binds(spec)) return;
  for (const oci::Mount& mount : spec.mounts) {
    if (mount.type != "cgroup") continue;
    const std::string target = rootfs::target_of(mount);
    for (const MountLine& line : view.table()) {
      const bool there = line.point == target || line.point.starts_with(target + "/");
      if (there && line.type.starts_with("cgroup")) add_external(line, outside);
    }
  }
}

Result<void> find_namespaces(const oci::Spec& spec, Pid pid, Outside& outside) {
  for (const ExternalNamespace& external : kExternalNamespaces) {
    const oci::Namespace* ns = oci::find_namespace(spec.linux, external.type);
    if (ns == nullptr || ns->path.empty()) continue;
    const std::string file = std::string("ns/") + external.file;
    const struct stat about = TRY(sys::stat(At::cwd(), proc_path(pid, file)));
    outside.externals.push_back(std::string(external.file) + "[" + std::to_string(about.st_ino) +
                                "]:" + external.key);
  }
  return {};
}

std::string to_hex(std::uint64_t number) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "%llx", static_cast<unsigned long long>(number));
  return text.data();
}

bool is_terminal(const struct stat& about) {
  constexpr unsigned kFirstPts = 136;  // Unix98 slaves have eight majors (admin-guide/devices)
  constexpr unsigned kLastPts = 143;
  const unsigned kind = major(about.st_rdev);
  return S_ISCHR(about.st_mode) && kind >= kFirstPts && kind <= kLastPts;
}

// A file or terminal that the container's mounts do not show.
Result<std::string> external_key(Pid pid, int fd, const View& view) {
  const std::string number = std::to_string(fd);
  const std::string info = TRY(fs::read_file(At::cwd(), proc_path(pid, "fdinfo/" + number), 8192));
  const std::uint64_t mount = TRY(parse_mount_id(info));
  if (find_mount(view.table(), mount) != nullptr) return std::string();
  const struct stat about = TRY(sys::stat(At::cwd(), proc_path(pid, "fd/" + number)));
  if (is_terminal(about)) return "tty[" + to_hex(about.st_rdev) + ":" + to_hex(about.st_dev) + "]";
  return "file[" + to_hex(mount) + ":" + to_hex(about.st_ino) + "]";
}

Result<void> find_stdio(Pid pid, bool shell_job, const View& view, Outside& outside) {
  for (int fd = 0; fd < kStdioCount; ++fd) {
    Result<std::string> link =
        sys::read_link(At::cwd(), proc_path(pid, "fd/" + std::to_string(fd)));
    if (!link) {  // closed by the guest
      outside.stdio.emplace_back();
      continue;
    }
    const std::string key =
        link->starts_with('/') ? TRY(external_key(pid, fd, view)) : std::string();
    outside.stdio.push_back(key.empty() ? *link : key);
    // With --shell-job CRIU takes the terminal that the restore is called from.
    if (key.empty() || (shell_job && key.starts_with("tty"))) continue;
    if (std::ranges::find(outside.externals, key) == outside.externals.end())
      outside.externals.push_back(key);
  }
  return {};
}

// ---- restore ----

void supply_bound_files(const oci::Spec& spec, Supplies& supplies) {
  for (const std::string& path : spec.linux.masked_paths)
    supplies.mounts.push_back({fs::clean(path), "/dev/null"});
  for (const std::string& path : device_paths(spec))
    supplies.mounts.push_back({path, path});
}

void supply_cgroup_mounts(const std::string& target, const cgroups::Group& group,
                          Supplies& supplies) {
  const auto parts = group.mount_parts();
  if (parts.size() != 1 || !parts[0].name.empty()) supplies.tree.push_back({target, ""});
  for (const cgroups::Group::MountPart& part : parts) {
    supplies.tree.push_back(
        {part.name.empty() ? target : fs::join(target, part.name), part.host_dir});
  }
}

void supply_tree(const oci::Spec& spec, const std::string& bundle, const cgroups::Group& group,
                 Supplies& supplies) {
  for (const oci::Mount& mount : spec.mounts) {
    const std::string target = rootfs::target_of(mount);
    if (mount.type == "cgroup" && has_cgroup_binds(spec)) {
      supply_cgroup_mounts(target, group, supplies);
    } else if (is_bind(mount)) {
      const bool absolute = mount.source.starts_with('/');
      supplies.tree.push_back({target, absolute ? mount.source : fs::join(bundle, mount.source)});
    } else {
      supplies.tree.push_back({target, ""});
    }
  }
}

Result<void> supply_namespaces(const oci::Spec& spec, Supplies& supplies) {
  for (const ExternalNamespace& external : kExternalNamespaces) {
    const oci::Namespace* ns = oci::find_namespace(spec.linux, external.type);
    if (ns == nullptr || ns->path.empty()) continue;
    Result<Fd> file = sys::open(At::cwd(), ns->path, O_RDONLY);
    if (!file) return std::move(file).error().at("linux.namespaces");
    supplies.inherited.push_back({external.key, file->get()});
    supplies.descriptors.push_back(*std::move(file));
  }
  for (const JoinedNamespace& joined : kJoinedNamespaces) {
    const oci::Namespace* ns = oci::find_namespace(spec.linux, joined.type);
    if (ns != nullptr && !ns->path.empty()) supplies.joined.push_back({joined.name, ns->path});
  }
  return {};
}

// Copies, because CRIU's own stderr is ours to read.
Result<void> supply_copy(const std::string& key, int fd, Supplies& supplies) {
  Fd copy = TRY(sys::duplicate(fd));
  supplies.inherited.push_back({key, copy.get()});
  supplies.descriptors.push_back(std::move(copy));
  return {};
}

Result<void> supply_stdio(const std::vector<std::string>& stdio, Supplies& supplies) {
  const std::size_t count = std::min<std::size_t>(stdio.size(), kStdioCount);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& key = stdio[i];
    const bool file = key.starts_with("file[");
    if (!file && !key.starts_with("pipe:") && !key.starts_with("tty[")) continue;
    // CRIU looks for an external file under its key, and before that under the key without the
    // first letter, as if that were a path: only then it takes the descriptor as it is instead of
    // opening the file behind it again, which a socket would not allow.
    if (file) TRY(supply_copy(key.substr(1), static_cast<int>(i), supplies));
    TRY(supply_copy(key, static_cast<int>(i), supplies));
  }
  return {};
}

}  // namespace

Result<Outside> look_outside(const oci::Spec& spec, Pid pid, bool shell_job) {
  const View view = TRY(View::open(pid));
  Outside outside;
  TRY(find_binds(spec, view, outside));
  TRY(find_bound_files(spec, view, outside));
  find_cgroup_binds(spec, view, outside);
  TRY(find_namespaces(spec, pid, outside));
  TRY(find_stdio(pid, shell_job, view, outside));
  return outside;
}

Result<Supplies> supply(const oci::Spec& spec, const std::string& bundle,
                        const cgroups::Group& group, const std::vector<std::string>& stdio) {
  Supplies supplies;
  supply_bound_files(spec, supplies);
  supply_tree(spec, bundle, group, supplies);
  TRY(supply_namespaces(spec, supplies));
  TRY(supply_stdio(stdio, supplies));
  return supplies;
}

Result<void> check_restorable(const oci::Spec& spec) {
  for (std::size_t i = 0; i < spec.mounts.size(); ++i) {
    const oci::Mount& mount = spec.mounts[i];
    const rootfs::MountOptions options = rootfs::parse_options(mount.options);
    const bool mapped = options.id_map || !mount.uid_mappings.empty();
    if (mapped && rootfs::is_bind(mount, options)) {
      return Error(Code::kUnsupported, "criu cannot restore a mount with id mappings of its own")
          .at("mounts[" + std::to_string(i) + "]");
    }
  }
  for (const NamespaceType type : {NamespaceType::kUser, NamespaceType::kMount,
                                   NamespaceType::kCgroup, NamespaceType::kTime}) {
    const oci::Namespace* ns = oci::find_namespace(spec.linux, type);
    if (ns == nullptr || ns->path.empty()) continue;
    return Error(Code::kUnsupported, "criu cannot restore a process into the namespace " +
                                         quote(ns->path) + " (only network, pid, ipc and uts)")
        .at("linux.namespaces");
  }
  return {};
}

}  // namespace vrun::runtime
