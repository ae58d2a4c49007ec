// One group of the cgroup v2 tree and what lies below it: directories, controllers, freezing,
// killing, the list of processes.
//
// The directory is opened once, on first use, and everything else happens below that descriptor.
// Nothing here knows limits; nothing sleeps blind: waits are poll(2) on cgroup.events with a
// deadline.
#pragma once

#include <cerrno>
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "cgroups/knob.hpp"

namespace vrun::cgroups {

// Parents can be removed by the undo of another command between their making and ours: how often we
// begin again.
inline constexpr int kMakeTries = 64;
// A directory that is gone, or a file of one that is just going (kernfs answers ENODEV).
inline bool has_vanished(const Error& error) {
  return error.sys_errno() == ENOENT || error.sys_errno() == ENODEV;
}

// The text of cgroup.events.
inline bool is_frozen_in(std::string_view events) {
  return events.find("frozen 1") != std::string_view::npos;
}

// The text of proc(5), stat: are the flags those of a thread of the kernel (PF_KTHREAD)?
bool is_kernel_thread(std::string_view stat);

class Tree {
 public:
  // `path` is below the mount: "/a/b".
  Tree(std::string mount, std::string path);

  const std::string& path() const { return path_; }
  const std::string& dir() const { return dir_; }  // mount + path

  // Makes the missing directories and enables the usual controllers on the way down. An existing
  // group without processes is taken over; one with processes, or frozen, is an error. On failure
  // the directories that were made are removed again.
  Result<void> create(const std::vector<Need>& needs);
  // Removes the directories that create() made, as long as they are empty.
  void undo_create();

  // The descriptor of the directory (O_PATH); an error with Code::kNotFound when it is gone.
  Result<int> fd() const;

  // Where a file of the group is missing: the reason in words, with a hint.
  Error why_missing(const std::string& controller, const std::string& file,
                    const std::string& where) const;

  Result<void> join(Pid pid);
  // The directory and the files of the kernel's list become the owner's; its group stays ours.
  Result<void> delegate(Uid owner);
  Result<void> freeze(bool frozen);
  Result<bool> is_frozen() const;
  Result<void> signal_all(int signal);
  Result<std::vector<Pid>> processes() const;
  // Kills what is left and removes the group, sub-groups first. A missing group is success.
  Result<void> destroy();

 private:
  using Clock = std::chrono::steady_clock;
  Result<void> write_freeze(bool frozen, std::chrono::milliseconds patience);
  Result<void> move_kernel_threads() const;
  Result<void> make_directories();
  Result<void> make_levels();
  Result<void> check_takeover() const;
  Result<void> enable_controllers(const std::vector<Need>& needs);
  std::vector<std::string> missing_controllers() const;
  void enable_at(const std::string& level, const std::vector<std::string>& controllers);
  Result<void> kill_each(int signal) const;
  Result<void> wait_event(std::string_view line, Clock::time_point deadline) const;

  std::string mount_;
  std::string path_;
  std::string dir_;
  mutable Fd fd_;
  std::vector<std::string> made_;  // absolute directories, outermost first
  struct Refusal {
    int sys_errno = 0;
    std::string level;
  };
  std::map<std::string, Refusal> refused_;  // controller -> why it could not be enabled
};

// Directories below `dir`, deepest first (not `dir` itself). For any hierarchy.
Result<std::vector<std::string>> sub_groups(const std::string& dir);

// The names in a file such as cgroup.controllers; empty when it cannot be read.
std::vector<std::string> read_words(At at, const std::string& file);

// Removes a directory of any hierarchy with its sub-groups, deepest first; EBUSY is tried again
// until `deadline`, waiting by `wait` in between. A missing directory is success.
Result<void> remove_group(const std::string& dir);

// Pids in cgroup.procs text.
std::vector<Pid> parse_pids(std::string_view text);

}  // namespace vrun::cgroups
