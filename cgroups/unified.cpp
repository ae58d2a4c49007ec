#include "cgroups/unified.hpp"

#include <cerrno>

#include "base/log.hpp"
#include "base/text.hpp"
#include "cgroups/apply.hpp"
#include "cgroups/unified_knobs.hpp"
#include "cgroups/unified_stats.hpp"

namespace vrun::cgroups {
namespace {

bool is_denied(const Error& error) {
  return error.sys_errno() == EACCES || error.sys_errno() == EPERM || error.sys_errno() == EROFS;
}

}  // namespace

UnifiedGroup::UnifiedGroup(std::string mount, std::string path, Options options)
    : tree_(std::move(mount), std::move(path)), options_(std::move(options)) {
  location_.driver = "cgroupfs";
  location_.path = tree_.path();
  location_.paths = {{"", tree_.dir()}};
}

std::unique_ptr<UnifiedGroup> UnifiedGroup::existing(std::string mount, std::string path,
                                                     bool rootless) {
  auto group = std::make_unique<UnifiedGroup>(std::move(mount), std::move(path),
                                              Options{{}, rootless, false});
  group->ours_ = !group->location_.path.empty();
  group->without_ = !group->ours_;
  if (group->without_) group->location_.paths.clear();
  return group;
}

Result<void> UnifiedGroup::create() {
  Result<void> created = tree_.create(options_.needs);
  if (created) {
    ours_ = true;
    return {};
  }
  if (!options_.may_do_without || !is_denied(created.error())) {
    if (!options_.rootless || !is_denied(created.error())) return created;
    return std::move(created).error().hint(
        "this user may not make cgroups here: run below a delegated systemd unit (Delegate=cpu "
        "cpuset io memory pids), use --systemd-cgroup, or ask for no limits and no cgroup path");
  }
  log::debug("no permission for cgroups and no limits asked for: running without a cgroup");
  without_ = true;
  location_.path.clear();
  location_.paths.clear();
  return {};
}

Error UnifiedGroup::no_group(std::string_view action) const {
  return Error(Code::kUnsupported,
               std::string(action) + ": this container runs without a cgroup of its own")
      .hint("a rootless container gets one where systemd delegates cgroups to the user");
}

int UnifiedGroup::clone_target() const {
  if (without_) return -1;
  return tree_.fd().value_or(-1);
}

Result<void> UnifiedGroup::join(Pid pid) {
  if (without_) return {};
  return tree_.join(pid);
}

Target UnifiedGroup::target() const {
  return {[this](const std::string&) { return tree_.fd(); },
          [this](const Write& write) {
            return tree_.why_missing(write.controller, write.file, write.where);
          }};
}

Result<void> UnifiedGroup::set(const oci::Resources& resources) {
  if (without_) {
    std::vector<Need> needs = needed_controllers(resources);
    if (needs.empty()) return {};
    return no_group("limit").at(needs.front().where);
  }
  Target files = target();
  std::vector<Write> writes = TRY(unified_writes(resources, reader_of(files)));
  TRY(write_limits(writes, files));
  return write_limits(TRY(unified_map_writes(resources)), files);
}

Result<void> UnifiedGroup::set_devices(const std::vector<oci::DeviceRule>& rules) {
  if (without_) return check_skippable(rules);
  return filter_devices(TRY(tree_.fd()), rules, options_.rootless);
}

Result<void> UnifiedGroup::delegate(Uid owner) {
  if (without_) return no_group("delegate");
  Result<void> given = tree_.delegate(owner);
  // A user's own group may go to nobody else: then it stays the user's.
  if (!given && options_.rootless && is_denied(given.error())) return {};
  return given;
}

Result<void> UnifiedGroup::freeze(bool frozen) {
  if (without_) return no_group(frozen ? "pause" : "resume");
  return tree_.freeze(frozen);
}

Result<bool> UnifiedGroup::is_frozen() const {
  if (without_) return false;
  return tree_.is_frozen();
}

Result<void> UnifiedGroup::signal_all(int signal) {
  if (without_) return no_group("signal all processes");
  return tree_.signal_all(signal);
}

Result<std::vector<Pid>> UnifiedGroup::processes() const {
  if (without_) return no_group("list processes");
  return tree_.processes();
}

Result<Stats> UnifiedGroup::stats() const {
  if (without_) return no_group("read statistics");
  return read_unified_stats(At::borrowed(TRY(tree_.fd())));
}

Result<bool> UnifiedGroup::wait_oom(int timeout_ms) {
  if (without_) return no_group("wait for an out-of-memory kill");
  return oom_.wait(tree_.dir(), "memory.events", timeout_ms);
}

Result<void> UnifiedGroup::destroy() {
  if (without_ || !ours_) return {};
  return tree_.destroy();
}

std::vector<Group::MountPart> UnifiedGroup::mount_parts() const {
  if (without_) return {};
  return {{"", tree_.dir(), "", true}};
}

}  // namespace vrun::cgroups
