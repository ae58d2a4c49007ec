#include "cgroups/legacy_tree.hpp"

#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <signal.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/tree.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::size_t kMaxFile = 16U << 20U;
constexpr std::chrono::seconds kPatience{10};

// The level above may be new as well, made by another container a moment ago and not filled yet:
// then it is filled first, with the same value that its maker is about to write.
Result<std::string> inherit(const std::string& mount, const std::string& level,
                            const std::string& file) {
  std::string own = TRY(fs::read_file(At::cwd(), fs::join(level, file), kMaxFile));
  if (!trim(own).empty() || level == mount) return std::string(trim(own));
  std::string value = TRY(inherit(mount, std::string(fs::dir_name(level)), file));
  TRY(fs::write_value(At::cwd(), fs::join(level, file), value));
  return value;
}

}  // namespace

LegacyDir::LegacyDir(V1Hierarchy hierarchy, std::string dir)
    : hierarchy_(std::move(hierarchy)), dir_(std::move(dir)) {}

Result<void> LegacyDir::made(const std::string& level) {
  made_.push_back(level);
  if (!hierarchy_.has("cpuset")) return {};
  TRY(inherit(hierarchy_.mount, level, "cpuset.cpus"));
  TRY(inherit(hierarchy_.mount, level, "cpuset.mems"));
  return {};
}

Result<void> LegacyDir::adopt() {
  Result<void> there = make_levels();
  if (!there && there.error().sys_errno() == EEXIST) return {};
  return there;
}

Result<void> LegacyDir::create() {
  Result<void> there = sys::make_dir(At::cwd(), dir_, 0755);
  if (there) return made(dir_);
  // Another container may remove a parent between our look and our use: start over.
  for (int i = 0; i < kMakeTries && !there && has_vanished(there.error()); ++i) {
    there = make_levels();
  }
  if (there) return {};
  if (there.error().sys_errno() != EEXIST) return std::move(there).error().at("linux.cgroupsPath");
  std::size_t count = TRY(processes()).size();
  if (count == 0) return {};
  return Error(Code::kExists, "container's cgroup is not empty: " + std::to_string(count) +
                                  " process(es) found in " + quote(dir_))
      .at("linux.cgroupsPath");
}

Result<void> LegacyDir::make_levels() {
  std::size_t at = hierarchy_.mount.size();
  while (true) {
    at = dir_.find('/', at + 1);
    std::string level = dir_.substr(0, at);
    Result<void> there = sys::make_dir(At::cwd(), level, 0755);
    if (there) TRY(made(level));
    if (at == std::string::npos) return there;
    if (!there && there.error().sys_errno() != EEXIST) return there;
  }
}

void LegacyDir::undo_create() {
  fd_.reset();
  for (auto level = made_.rbegin(); level != made_.rend(); ++level) {
    (void)sys::remove_dir(At::cwd(), *level);
  }
  made_.clear();
}

Result<int> LegacyDir::fd() const {
  if (!fd_) fd_ = TRY(sys::open(At::cwd(), dir_, O_PATH | O_DIRECTORY));
  return fd_.get();
}

bool LegacyDir::holds(const std::vector<Membership>& membership) const {
  if (hierarchy_.mount_root != "/") return false;  // paths cannot be compared: say no, and write
  for (const Membership& line : membership) {
    if (line.controllers == hierarchy_.controllers) {
      return fs::join(hierarchy_.mount, line.path) == dir_;
    }
  }
  return false;
}

Result<void> LegacyDir::join(Pid pid) const {
  int dir = TRY(fd());
  return fs::write_value(At::borrowed(dir), "cgroup.procs", std::to_string(pid.value));
}

Result<std::vector<Pid>> LegacyDir::processes() const {
  std::vector<std::string> groups = TRY(sub_groups(dir_));
  groups.push_back(dir_);
  std::vector<Pid> all;
  for (const std::string& group : groups) {
    Result<std::string> text = fs::read_file(At::cwd(), fs::join(group, "cgroup.procs"), kMaxFile);
    if (!text && text.error().code() == Code::kNotFound && group != dir_) continue;
    if (!text) return std::move(text).error();
    std::vector<Pid> pids = parse_pids(*text);
    all.insert(all.end(), pids.begin(), pids.end());
  }
  return all;
}

Result<void> LegacyDir::destroy() {
  fd_.reset();
  if (dir_ == hierarchy_.mount) return Error(Code::kInternal, "refusing to remove the root group");
  auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    Result<void> removed = remove_group(dir_);
    if (removed || std::chrono::steady_clock::now() >= deadline) return removed;
    if (removed.error().sys_errno() != EBUSY) return removed;
    // v1 has no event for the last exit: look again shortly.
    Result<std::vector<Pid>> left = processes();
    for (std::size_t i = 0; left && i < left->size(); ++i)
      kill((*left)[i].value, SIGKILL);
    TRY(sys::poll({}, 1));
  }
}

}  // namespace vrun::cgroups
