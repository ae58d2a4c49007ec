#include "cgroups/legacy.hpp"

#include <cerrno>
#include <chrono>

#include <poll.h>
#include <signal.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/devices.hpp"
#include "cgroups/legacy_knobs.hpp"
#include "cgroups/legacy_stats.hpp"
#include "cgroups/unified_knobs.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::chrono::seconds kPatience{10};
constexpr std::size_t kMaxFile = 1U << 20U;

bool is_denied(const Error& error) {
  return error.sys_errno() == EACCES || error.sys_errno() == EPERM || error.sys_errno() == EROFS;
}

}  // namespace

LegacyGroup::LegacyGroup(std::optional<Tree> v2, std::vector<LegacyDir> dirs, Options options)
    : v2_(std::move(v2)), dirs_(std::move(dirs)), options_(std::move(options)) {
  location_.driver = "cgroupfs";
  if (v2_) {
    location_.path = v2_->path();
    location_.paths[""] = v2_->dir();
  }
  for (const LegacyDir& dir : dirs_)
    location_.paths[dir.hierarchy().name()] = dir.dir();
}

std::unique_ptr<LegacyGroup> LegacyGroup::existing(std::optional<Tree> v2,
                                                   std::vector<LegacyDir> dirs, Options options) {
  auto group = std::make_unique<LegacyGroup>(std::move(v2), std::move(dirs), std::move(options));
  group->ours_ = !group->location_.paths.empty();
  group->without_ = !group->ours_;
  return group;
}

const LegacyDir* LegacyGroup::find(std::string_view controller) const {
  for (const LegacyDir& dir : dirs_) {
    if (dir.hierarchy().has(controller)) return &dir;
  }
  return nullptr;
}

// ---- making ----

Result<void> LegacyGroup::check_needs(std::vector<Need>& of_v2) const {
  for (const Need& need : options_.needs) {
    if (bound(v1_controller(need.controller))) continue;
    if (v2_ && !need.controller.starts_with("net_")) {
      of_v2.push_back(need);
      continue;
    }
    return unenforceable(need.where,
                         "controller " + printable(need.controller) + " is not mounted");
  }
  return {};
}

Result<void> LegacyGroup::make_all() {
  std::vector<Need> of_v2;
  TRY(check_needs(of_v2));
  if (v2_) TRY(v2_->create(of_v2));
  for (LegacyDir& dir : dirs_)
    TRY(dir.create());
  return {};
}

Result<void> LegacyGroup::create() {
  Result<void> made = make_all();
  if (made) {
    ours_ = true;
    return {};
  }
  if (v2_) v2_->undo_create();
  for (LegacyDir& dir : dirs_)
    dir.undo_create();
  if (!options_.rootless || !is_denied(made.error())) return made;
  if (!options_.may_do_without) {
    return std::move(made).error().hint(
        "an unprivileged user cannot make groups in v1 hierarchies: boot with "
        "systemd.unified_cgroup_hierarchy=1, or ask for no limits and no cgroup path");
  }
  log::debug("no permission for cgroups and no limits asked for: running without a cgroup");
  without_ = true;
  location_.path.clear();
  location_.paths.clear();
  return {};
}

Result<void> LegacyGroup::adopt() {
  for (LegacyDir& dir : dirs_)
    TRY(dir.adopt());
  return {};
}

int LegacyGroup::clone_target() const {
  if (without_ || !v2_) return -1;
  return v2_->fd().value_or(-1);
}

// The kernel waits out an RCU grace period for the first write after a quiet time; writes that
// follow at once are cheap. So: one after the other, and none that changes nothing.
Result<void> LegacyGroup::join(Pid pid) {
  if (without_) return {};
  std::string file = fs::join(options_.proc, std::to_string(pid.value) + "/cgroup");
  std::vector<Membership> now = parse_membership(TRY(fs::read_file(At::cwd(), file, kMaxFile)));
  if (v2_) {
    bool inside = false;
    for (const Membership& line : now) {
      inside |= line.controllers.empty() && line.path == v2_->path();
    }
    if (!inside) TRY(v2_->join(pid));
  }
  for (const LegacyDir& dir : dirs_) {
    if (!dir.holds(now)) TRY(dir.join(pid));
  }
  return {};
}

// ---- limits ----

Error LegacyGroup::no_group(std::string_view action) const {
  return Error(Code::kUnsupported,
               std::string(action) + ": this container runs without a cgroup of its own")
      .hint("a rootless container gets one where systemd delegates cgroups to the user");
}

Error LegacyGroup::missing(const Write& write) const {
  if (bound(write.controller)) {
    Error error = unenforceable(write.where, "this kernel has no " + printable(write.file));
    if (write.file.starts_with("memory.memsw.")) {
      return std::move(error).hint("boot with swapaccount=1");
    }
    return error;
  }
  if (v2_ && !write.controller.starts_with("net_")) {
    return v2_->why_missing(write.controller, write.file, write.where);
  }
  return unenforceable(write.where,
                       "controller " + printable(write.controller) + " is not mounted");
}

Target LegacyGroup::target() const {
  return {[this](const std::string& controller) -> Result<int> {
            if (const LegacyDir* dir = find(controller)) return dir->fd();
            if (v2_ && !controller.starts_with("net_")) return v2_->fd();
            return -1;
          },
          [this](const Write& write) { return missing(write); }};
}

Result<void> LegacyGroup::set(const oci::Resources& resources) {
  if (without_) {
    std::vector<Need> needs = needed_controllers(resources);
    if (needs.empty()) return {};
    return no_group("limit").at(needs.front().where);
  }
  Target files = target();
  Reader read = reader_of(files);
  Bound is_bound = [this](std::string_view controller) { return bound(controller); };
  std::vector<Write> writes = TRY(legacy_writes(resources, is_bound, read));
  std::vector<Write> rest = TRY(unified_writes(without_bound(resources, is_bound), read));
  writes.insert(writes.end(), rest.begin(), rest.end());
  TRY(write_limits(writes, files));
  return set_unified_map(resources, files);
}

// Keys of the v2 tree: only for controllers that are there.
Result<void> LegacyGroup::set_unified_map(const oci::Resources& resources, const Target& files) {
  std::vector<Write> writes = TRY(unified_map_writes(resources));
  for (const Write& write : writes) {
    if (!bound(v1_controller(write.controller))) continue;
    return unenforceable(write.where, "controller " + printable(write.controller) +
                                          " is bound to a v1 hierarchy on this host, which does "
                                          "not know the key")
        .hint("use the field of linux.resources that stands for it");
  }
  return write_limits(writes, files);
}

Result<const LegacyDir*> LegacyGroup::required(std::string_view controller,
                                               std::string_view action) const {
  if (const LegacyDir* dir = find(controller)) return dir;
  return Error(Code::kUnsupported, std::string(action) + " needs the cgroup v2 tree or the " +
                                       std::string(controller) + " controller");
}

Result<void> LegacyGroup::set_devices(const std::vector<oci::DeviceRule>& rules) {
  if (without_) return check_skippable(rules);
  if (v2_) return filter_devices(TRY(v2_->fd()), rules, options_.rootless);
  DeviceTables tables = TRY(normalise(rules));
  std::vector<DeviceLine> lines = TRY(device_lines(tables));
  const LegacyDir* devices = TRY(required("devices", "a device filter"));
  int dir = TRY(devices->fd());
  for (const DeviceLine& line : lines) {
    Result<void> written = fs::write_value(
        At::borrowed(dir), line.allow ? "devices.allow" : "devices.deny", line.text);
    if (!written) return std::move(written).error().at("linux.resources.devices");
  }
  return {};
}

// ---- processes ----

Result<void> LegacyGroup::delegate(Uid owner) {
  if (without_) return no_group("delegate");
  if (v2_) return v2_->delegate(owner);
  return Error(Code::kUnsupported, "delegate: no cgroup v2 tree is mounted on this host")
      .hint(
          "mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with "
          "systemd.unified_cgroup_hierarchy=1");
}

Result<void> LegacyGroup::freeze(bool frozen) {
  if (without_) return no_group(frozen ? "pause" : "resume");
  if (v2_) return v2_->freeze(frozen);
  const LegacyDir* freezer = TRY(required("freezer", "pausing"));
  int dir = TRY(freezer->fd());
  std::string_view wanted = frozen ? "FROZEN" : "THAWED";
  auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    // Written again each time: a process that forks meanwhile leaves the group in FREEZING.
    TRY(fs::write_value(At::borrowed(dir), "freezer.state", wanted));
    std::string state = TRY(fs::read_file(At::borrowed(dir), "freezer.state", kMaxFile));
    if (trim(state) == wanted) return {};
    if (std::chrono::steady_clock::now() >= deadline) break;
    TRY(sys::poll({}, 1));
  }
  if (frozen) (void)fs::write_value(At::borrowed(dir), "freezer.state", "THAWED");
  return Error(Code::kTimeout, "cgroup " + quote(freezer->dir()) + " did not freeze in time");
}

Result<bool> LegacyGroup::is_frozen() const {
  if (without_) return false;
  if (v2_) return v2_->is_frozen();
  const LegacyDir* freezer = find("freezer");
  if (freezer == nullptr) return false;
  int dir = TRY(freezer->fd());
  std::string state = TRY(fs::read_file(At::borrowed(dir), "freezer.state", kMaxFile));
  return trim(state) != "THAWED";
}

Result<void> LegacyGroup::signal_without_v2(int signal) {
  bool was_frozen = TRY(is_frozen());
  bool froze = !was_frozen && freeze(true);
  std::vector<Pid> pids = TRY(processes());
  for (Pid pid : pids) {
    if (kill(pid.value, signal) != 0 && errno != ESRCH) {
      return Error::system(errno, "signal process " + std::to_string(pid.value));
    }
  }
  // A frozen v1 group does not even die: SIGKILL takes effect when it thaws.
  if (froze || (was_frozen && signal == SIGKILL)) return freeze(false);
  return {};
}

Result<void> LegacyGroup::signal_all(int signal) {
  if (without_) return no_group("signal all processes");
  return v2_ ? v2_->signal_all(signal) : signal_without_v2(signal);
}

Result<std::vector<Pid>> LegacyGroup::processes() const {
  if (without_) return no_group("list processes");
  if (v2_) return v2_->processes();
  if (dirs_.empty()) return no_group("list processes");
  const LegacyDir* freezer = find("freezer");
  return freezer != nullptr ? freezer->processes() : dirs_.front().processes();
}

// ---- looking ----

Result<Stats> LegacyGroup::stats() const {
  if (without_) return no_group("read statistics");
  Fd none;
  At v2 = v2_ ? At::borrowed(TRY(v2_->fd())) : At(none);
  return read_legacy_stats(
      [this](std::string_view controller) -> int {
        const LegacyDir* dir = find(controller);
        if (dir == nullptr) return -1;
        Result<int> fd = dir->fd();
        return fd ? *fd : -1;
      },
      v2);
}

Result<bool> LegacyGroup::wait_oom(int timeout_ms) {
  if (without_) return no_group("wait for an out-of-memory kill");
  if (const LegacyDir* memory = find("memory")) {
    return oom_.wait(memory->dir(), "memory.oom_control", timeout_ms);
  }
  if (v2_) return oom_.wait(v2_->dir(), "memory.events", timeout_ms);
  return no_group("wait for an out-of-memory kill");
}

Result<void> LegacyGroup::destroy() {
  if (without_ || !ours_) return {};
  // A frozen v1 group could not die; on v2 a kill reaches frozen processes as well.
  if (!v2_) {
    Result<bool> frozen = is_frozen();
    if (frozen && *frozen) (void)signal_without_v2(SIGKILL);
  }
  Result<void> first;
  if (v2_) first = v2_->destroy();
  for (LegacyDir& dir : dirs_) {
    Result<void> gone = dir.destroy();
    if (!gone && first) first = std::move(gone);
  }
  return first;
}

std::vector<Group::MountPart> LegacyGroup::mount_parts() const {
  std::vector<MountPart> parts;
  if (without_) return parts;
  for (const LegacyDir& dir : dirs_) {
    std::string controllers = dir.hierarchy().name();
    bool named = controllers.starts_with("name=");
    parts.push_back({std::string(fs::base_name(dir.hierarchy().mount)), dir.dir(),
                     named ? "none," + controllers : controllers, false});
  }
  if (v2_) parts.push_back({"unified", v2_->dir(), "", true});
  return parts;
}

}  // namespace vrun::cgroups
