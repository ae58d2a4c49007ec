#include "runtime/process_mark.hpp"

#include <array>
#include <string_view>
#include <vector>

#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::runtime {
namespace {

constexpr long kPidfsMagic = 0x50494446;  // PID_FS_MAGIC of linux/magic.h, Linux 6.9

const std::string& boot_id() {
  static const std::string id = [] {
    constexpr std::size_t kMost = 64;
    const Result<std::string> text =
        fs::read_file(At::cwd(), "/proc/sys/kernel/random/boot_id", kMost);
    return text ? std::string(trim(*text)) : std::string();
  }();
  return id;
}

std::uint64_t pidfs_inode(const Fd& pidfd) {
  struct statfs file_system {};
  if (::fstatfs(pidfd.get(), &file_system) != 0 || file_system.f_type != kPidfsMagic) return 0;
  const Result<struct stat> st = sys::stat(pidfd.get());
  return st ? st->st_ino : 0;
}

bool has_ended(const Fd& pidfd) {
  std::array<pollfd, 1> ended{pollfd{pidfd.get(), POLLIN, 0}};
  const Result<int> ready = sys::poll(ended, 0);
  return !ready || *ready > 0;
}

bool is_marked(const Fd& pidfd, const ProcessMark& mark) {
  if (mark.pidfs_inode == 0 || mark.boot_id != boot_id())
    return start_time_of(mark.pid) == mark.start_time;
  const Result<struct stat> st = sys::stat(pidfd.get());
  return st && st->st_ino == mark.pidfs_inode && !has_ended(pidfd);
}

}  // namespace

std::optional<std::uint64_t> start_time_of(Pid pid) {
  if (pid.value <= 0) return std::nullopt;
  const Result<std::string> stat =
      fs::read_file(At::cwd(), "/proc/" + std::to_string(pid.value) + "/stat", 8192);
  if (!stat) return std::nullopt;
  // The second field is the command in parentheses and may hold anything: start after the last ")".
  const std::size_t end = stat->rfind(')');
  if (end == std::string::npos || end + 2 >= stat->size()) return std::nullopt;
  const std::vector<std::string_view> fields = split(std::string_view(*stat).substr(end + 2), ' ');
  constexpr std::size_t kState = 0;       // field 3 of proc_pid_stat(5)
  constexpr std::size_t kStartTime = 19;  // field 22
  if (fields.size() <= kStartTime || fields[kState] == "Z" || fields[kState] == "X")
    return std::nullopt;
  return parse_u64(fields[kStartTime]);
}

std::optional<ProcessMark> mark_process(Pid pid) {
  const Result<Fd> pidfd = sys::pidfd_open(pid);
  const std::optional<std::uint64_t> start_time = start_time_of(pid);
  if (!pidfd || !start_time) return std::nullopt;
  ProcessMark mark{
      .pid = pid, .start_time = *start_time, .pidfs_inode = pidfs_inode(*pidfd), .boot_id = {}};
  if (mark.pidfs_inode != 0) mark.boot_id = boot_id();
  return mark;
}

std::optional<Fd> open_marked(const ProcessMark& mark) {
  if (mark.pid.value <= 0) return std::nullopt;
  Result<Fd> pidfd = sys::pidfd_open(mark.pid);
  // Opened first: from here on the descriptor cannot come to mean another process.
  if (!pidfd || !is_marked(*pidfd, mark)) return std::nullopt;
  return *std::move(pidfd);
}

}  // namespace vrun::runtime
