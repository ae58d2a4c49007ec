#include "cgroups/tree.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::size_t kMaxFile = 16U << 20U;
// Reaping a killed process that was deep in the kernel takes its time, but not for ever.
constexpr std::chrono::seconds kPatience{10};
// What engines and tools expect to find in a container's group.
constexpr std::array<std::string_view, 8> kUsual = {"cpu",  "cpuset",  "io",   "memory",
                                                    "pids", "hugetlb", "rdma", "misc"};

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

constexpr std::string_view kDelegationHint =
    "let systemd delegate the controllers: a drop-in for user@.service with Delegate=cpu cpuset io "
    "memory pids, then log in again";

}  // namespace

std::vector<std::string> read_words(At at, const std::string& file) {
  Result<std::string> text = fs::read_file(at, file, kMaxFile);
  std::vector<std::string> words;
  if (!text) return words;
  for (std::string_view word : split(trim(*text), ' ')) {
    if (!word.empty()) words.emplace_back(word);
  }
  return words;
}

std::vector<Pid> parse_pids(std::string_view text) {
  std::vector<Pid> pids;
  for (std::string_view line : split(text, '\n')) {
    std::optional<std::uint64_t> number = parse_u64(trim(line));
    // 0 stands for a process outside of our pid namespace: it cannot be named from here.
    if (number && *number > 0 && *number <= 0x7fffffff) {
      pids.emplace_back(static_cast<pid_t>(*number));
    }
  }
  return pids;
}

namespace {

// A kernfs directory counts its sub-directories in st_nlink, so most groups need no listing.
Result<void> list_sub_groups(const std::string& dir, std::vector<std::string>& found) {
  Fd fd = TRY(sys::open_dir(At::cwd(), dir));
  struct stat info = TRY(sys::stat(fd.get()));
  if (info.st_nlink == 2) return {};
  std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd.get()), closedir);
  if (!stream) return Error::system(errno, "list " + quote(dir));
  (void)fd.release();  // the stream owns it now
  while (const dirent* entry = readdir(stream.get())) {
    std::string_view name = entry->d_name;
    if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
    std::string below = fs::join(dir, name);
    Result<void> listed = list_sub_groups(below, found);
    if (!listed && listed.error().code() != Code::kNotFound) return listed;
    found.push_back(std::move(below));
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> sub_groups(const std::string& dir) {
  std::vector<std::string> found;
  TRY(list_sub_groups(dir, found));
  return found;
}

Result<void> remove_group(const std::string& dir) {
  Result<void> removed = sys::remove_dir(At::cwd(), dir);
  if (removed || removed.error().code() == Code::kNotFound) return {};
  Result<std::vector<std::string>> below = sub_groups(dir);
  if (!below) {
    if (below.error().code() == Code::kNotFound) return {};
    return std::move(below).error();
  }
  for (const std::string& group : *below) {
    Result<void> gone = sys::remove_dir(At::cwd(), group);
    if (!gone && gone.error().code() != Code::kNotFound) return gone;
  }
  removed = sys::remove_dir(At::cwd(), dir);
  if (removed || removed.error().code() == Code::kNotFound) return {};
  return removed;
}

bool is_kernel_thread(std::string_view stat) {
  constexpr std::uint64_t kKernelThread = 0x00200000;  // PF_KTHREAD (linux/sched.h)
  constexpr std::size_t kFlags = 7;                    // behind the name, which may have blanks
  const std::size_t name_end = stat.rfind(')');
  if (name_end == stat.npos) return false;
  const std::vector<std::string_view> fields = split(stat.substr(name_end + 1), ' ');
  return fields.size() > kFlags && (parse_u64(fields[kFlags]).value_or(0) & kKernelThread) != 0;
}

Tree::Tree(std::string mount, std::string path)
    : mount_(std::move(mount)), path_(std::move(path)), dir_(fs::join(mount_, path_)) {}

// ---- making ----

Result<void> Tree::create(const std::vector<Need>& needs) {
  Result<void> done = make_directories();
  if (done) done = enable_controllers(needs);
  if (!done) {
    undo_create();
    return done;
  }
  return {};
}

void Tree::undo_create() {
  fd_.reset();
  for (auto level = made_.rbegin(); level != made_.rend(); ++level) {
    (void)sys::remove_dir(At::cwd(), *level);  // another container may live there by now
  }
  made_.clear();
}

Result<void> Tree::make_directories() {
  // Usually the parent is there, and one call does.
  Result<void> made = sys::make_dir(At::cwd(), dir_, 0755);
  // Another create may undo a parent that it made between our look and our use: start over.
  for (int i = 0; i < kMakeTries && !made && has_vanished(made.error()); ++i) {
    made = make_levels();
  }
  bool existed = !made && made.error().sys_errno() == EEXIST;
  if (!made && !existed) return std::move(made).error().at("linux.cgroupsPath");
  if (!existed && !contains(made_, dir_)) made_.push_back(dir_);
  fd_ = TRY(sys::open(At::cwd(), dir_, O_PATH | O_DIRECTORY));
  return existed ? check_takeover() : Result<void>();
}

Result<void> Tree::make_levels() {
  std::size_t at = mount_.size();
  while (true) {
    at = dir_.find('/', at + 1);
    std::string level = dir_.substr(0, at);
    Result<void> made = sys::make_dir(At::cwd(), level, 0755);
    if (made) made_.push_back(level);
    if (at == std::string::npos) return made;
    if (!made && made.error().sys_errno() != EEXIST) return made;
  }
}

// The populated line covers the sub-groups too.
Result<void> Tree::check_takeover() const {
  std::string events = TRY(fs::read_file(fd_, "cgroup.events", kMaxFile));
  if (events.find("populated 1") != std::string::npos) {
    std::size_t count = TRY(processes()).size();
    return Error(Code::kExists, "container's cgroup is not empty: " + std::to_string(count) +
                                    " process(es) found in " + quote(dir_))
        .at("linux.cgroupsPath");
  }
  if (events.find("frozen 1") != std::string::npos &&
      fs::read_file(fd_, "cgroup.freeze", kMaxFile).value_or("").starts_with('1')) {
    return Error(Code::kState, "container's cgroup " + quote(dir_) + " is unexpectedly frozen")
        .at("linux.cgroupsPath");
  }
  return {};
}

std::vector<std::string> Tree::missing_controllers() const {
  std::vector<std::string> here = read_words(fd_, "cgroup.controllers");
  std::vector<std::string> missing;
  if (here.size() >= kUsual.size()) {  // the common case on a v2 host: nothing to compare
    bool all = std::all_of(kUsual.begin(), kUsual.end(),
                           [&](std::string_view word) { return contains(here, word); });
    if (all) return missing;
  }
  for (const std::string& word : read_words(At::cwd(), fs::join(mount_, "cgroup.controllers"))) {
    bool usual = std::find(kUsual.begin(), kUsual.end(), word) != kUsual.end();
    if (usual && !contains(here, word)) missing.push_back(word);
  }
  return missing;
}

Result<void> Tree::enable_controllers(const std::vector<Need>& needs) {
  std::vector<std::string> missing = missing_controllers();
  if (!missing.empty()) {
    for (std::size_t at = mount_.size(); at != std::string::npos; at = dir_.find('/', at + 1)) {
      enable_at(dir_.substr(0, at), missing);
    }
  }
  if (needs.empty()) return {};
  std::vector<std::string> here = read_words(fd_, "cgroup.controllers");
  for (const Need& need : needs) {
    if (!contains(here, need.controller)) return why_missing(need.controller, "", need.where);
  }
  return {};
}

// Enables in one write; where the kernel refuses, one by one, so that one refusal does not keep
// the others back.
void Tree::enable_at(const std::string& level, const std::vector<std::string>& controllers) {
  std::vector<std::string> offered = read_words(At::cwd(), fs::join(level, "cgroup.controllers"));
  std::string file = fs::join(level, "cgroup.subtree_control");
  std::vector<std::string> enabled = read_words(At::cwd(), file);
  std::vector<std::string> wanted;
  for (const std::string& word : controllers) {
    if (contains(offered, word) && !contains(enabled, word)) wanted.push_back("+" + word);
  }
  if (wanted.empty()) return;
  Result<void> written = fs::write_value(At::cwd(), file, vrun::join(wanted, " "));
  if (written) return;
  if (written.error().sys_errno() == EBUSY) {
    // It has processes. The threaded controllers (cpu, pids ...) could be had one by one, but then
    // no group below could hold a process (cgroup-v2, "domain invalid").
    for (const std::string& word : wanted)
      refused_[word.substr(1)] = {EBUSY, level};
    return;
  }
  for (const std::string& word : wanted) {
    Result<void> one = fs::write_value(At::cwd(), file, word);
    if (!one) refused_[word.substr(1)] = {one.error().sys_errno(), level};
  }
}

Error Tree::why_missing(const std::string& controller, const std::string& file,
                        const std::string& where) const {
  std::string what = "controller " + printable(controller) + " is not enabled in " + quote(dir_);
  auto refusal = refused_.find(controller);
  if (refusal != refused_.end()) {
    const Refusal& why = refusal->second;
    Error error = Error::system(why.sys_errno, what + ": enabling it in " + quote(why.level));
    if (why.sys_errno == EBUSY) {
      return std::move(error).at(where).hint(
          "the group above has processes of its own, and cgroup v2 then gives no controllers to "
          "groups below it: choose a cgroup path elsewhere, or move those processes to a leaf");
    }
    return std::move(error).at(where).hint(kDelegationHint).with_code(Code::kUnsupported);
  }
  if (!contains(read_words(At::cwd(), fs::join(mount_, "cgroup.controllers")), controller)) {
    return unenforceable(where, what + ": the cgroup v2 tree of this host does not offer it")
        .hint(geteuid() == 0 ? "it may be bound to a v1 hierarchy, or disabled on the kernel's "
                               "command line (cgroup_disable=)"
                             : kDelegationHint);
  }
  if (contains(read_words(fd_, "cgroup.controllers"), controller)) {
    return unenforceable(where, "this kernel has no " + printable(file));
  }
  return unenforceable(where, what).hint(kDelegationHint);
}

// ---- using ----

Result<int> Tree::fd() const {
  if (!fd_) fd_ = TRY(sys::open(At::cwd(), dir_, O_PATH | O_DIRECTORY));
  return fd_.get();
}

Result<void> Tree::join(Pid pid) {
  int dir = TRY(fd());
  return fs::write_value(At::borrowed(dir), "cgroup.procs", std::to_string(pid.value));
}

Result<void> Tree::delegate(Uid owner) {
  const At dir = At::borrowed(TRY(fd()));
  const struct stat now = TRY(sys::stat(dir, "", AT_EMPTY_PATH));
  if (now.st_uid == owner.value) return {};
  const Gid unchanged(static_cast<gid_t>(-1));
  // cgroups(7), "Cgroups delegation": the list is the kernel's, one name a line (since 4.15).
  const std::string list = fs::read_file(At::cwd(), "/sys/kernel/cgroup/delegate", kMaxFile)
                               .value_or("cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n");
  for (const std::string_view name : split(list, '\n')) {
    if (name.empty() || name.find('/') != std::string_view::npos) continue;
    Result<void> given = sys::chown(dir, std::string(name), owner, unchanged);
    // The file of a controller that is not enabled here.
    if (!given && given.error().sys_errno() != ENOENT) return given;
  }
  return sys::chown(dir, "", owner, unchanged);
}

Result<void> Tree::wait_event(std::string_view line, Clock::time_point deadline) const {
  int dir = TRY(fd());
  Fd events = TRY(sys::open(At::borrowed(dir), "cgroup.events", O_RDONLY));
  std::array<char, 256> buffer;
  while (true) {
    if (lseek(events.get(), 0, SEEK_SET) < 0) return Error::system(errno, "seek cgroup.events");
    std::size_t size = TRY(sys::read(events.get(), buffer));
    std::string_view text(buffer.data(), size);
    if (text.find(line) != std::string_view::npos) return {};
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) {
      return Error(Code::kTimeout, "cgroup " + quote(dir_) + " did not become \"" +
                                       std::string(line) + "\" in time");
    }
    // The file signals each change by POLLPRI | POLLERR (cgroup-v2.rst).
    std::array<pollfd, 1> wait = {pollfd{events.get(), POLLPRI, 0}};
    TRY(sys::poll(wait, static_cast<int>(std::min<std::int64_t>(left.count(), 1000))));
  }
}

Result<void> Tree::write_freeze(bool frozen, std::chrono::milliseconds patience) {
  int dir = TRY(fd());
  TRY(fs::write_value(At::borrowed(dir), "cgroup.freeze", frozen ? "1" : "0"));
  Result<void> waited = wait_event(frozen ? "frozen 1" : "frozen 0", Clock::now() + patience);
  if (!waited && frozen) (void)fs::write_value(At::borrowed(dir), "cgroup.freeze", "0");
  return waited;
}

// Before Linux 6.13 each KVM guest has a thread of the kernel in its group (kvm-nx-lpage-recovery),
// and a group with one never becomes frozen. It may live in the root as all others do. A group does
// not look again at what left it while it freezes, so the caller begins anew.
Result<void> Tree::move_kernel_threads() const {
  for (const Pid pid : TRY(processes())) {
    const Result<std::string> stat =
        fs::read_file(At::cwd(), "/proc/" + std::to_string(pid.value) + "/stat", kMaxFile);
    if (!stat || !is_kernel_thread(*stat)) continue;
    TRY(fs::write_value(At::cwd(), fs::join(mount_, "cgroup.procs"), std::to_string(pid.value)));
  }
  return {};
}

Result<void> Tree::freeze(bool frozen) {
  constexpr std::chrono::milliseconds kFirst{300};
  if (!frozen) return write_freeze(false, kPatience);
  Result<void> frozen_soon = write_freeze(true, kFirst);
  if (frozen_soon || frozen_soon.error().code() != Code::kTimeout) return frozen_soon;
  TRY(move_kernel_threads());
  return write_freeze(true, kPatience);
}

Result<bool> Tree::is_frozen() const {
  int dir = TRY(fd());
  std::string events = TRY(fs::read_file(At::borrowed(dir), "cgroup.events", kMaxFile));
  return is_frozen_in(events);
}

Result<std::vector<Pid>> Tree::processes() const {
  std::vector<std::string> groups = TRY(sub_groups(dir_));
  groups.push_back(dir_);
  std::vector<Pid> all;
  for (const std::string& group : groups) {
    Result<std::string> text = fs::read_file(At::cwd(), fs::join(group, "cgroup.procs"), kMaxFile);
    // A threaded group lists its processes only at the top of its domain (cgroup-v2.rst).
    if (!text && text.error().sys_errno() == EOPNOTSUPP) {
      text = fs::read_file(At::cwd(), fs::join(group, "cgroup.threads"), kMaxFile);
    }
    bool removed =
        !text && (text.error().code() == Code::kNotFound || text.error().sys_errno() == ENODEV);
    if (removed && group != dir_) continue;
    if (!text) return std::move(text).error();
    std::vector<Pid> pids = parse_pids(*text);
    all.insert(all.end(), pids.begin(), pids.end());
  }
  return all;
}

Result<void> Tree::kill_each(int signal) const {
  for (Pid pid : TRY(processes())) {
    if (kill(pid.value, signal) != 0 && errno != ESRCH) {
      return Error::system(errno, "signal process " + std::to_string(pid.value));
    }
  }
  return {};
}

Result<void> Tree::signal_all(int signal) {
  int dir = TRY(fd());
  if (signal == SIGKILL) {
    Result<void> killed = fs::write_value(At::borrowed(dir), "cgroup.kill", "1");
    // Threaded groups refuse it (EOPNOTSUPP), kernels before 5.14 do not have it.
    bool fall_back = !killed && (killed.error().sys_errno() == ENOENT ||
                                 killed.error().sys_errno() == EOPNOTSUPP);
    if (!fall_back) return killed;
  }
  // Frozen meanwhile, so that no process forks away between the list and the signals.
  bool was_frozen = TRY(is_frozen());
  bool froze = !was_frozen && freeze(true);
  Result<void> signalled = kill_each(signal);
  if (froze) TRY(freeze(false));
  return signalled;
}

// ---- removing ----

Result<void> Tree::destroy() {
  fd_.reset();
  Result<void> removed = sys::remove_dir(At::cwd(), dir_);
  if (removed || removed.error().code() == Code::kNotFound) return {};
  Clock::time_point deadline = Clock::now() + kPatience;
  while (true) {
    Result<void> killed = signal_all(SIGKILL);
    if (!killed && killed.error().code() == Code::kNotFound) return {};
    if (killed) killed = wait_event("populated 0", deadline);
    fd_.reset();
    Result<void> gone = remove_group(dir_);
    if (gone || Clock::now() >= deadline) return gone;
    if (!killed) return std::move(killed).error();
    // EBUSY although nothing is populated: the last exits are still being accounted for.
    if (gone.error().sys_errno() != EBUSY) return gone;
    TRY(sys::poll({}, 1));
  }
}

}  // namespace vrun::cgroups
