// Which process a pid stood for when it was written down. Pids are used again; this tells.
//
// Where the kernel has pidfs (6.9), the inode number of a process's pidfd is never used again until
// the next boot, so one fstat(2) tells; before, the start time in /proc/PID/stat does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/id.hpp"

namespace vrun::runtime {

struct ProcessMark {
  Pid pid;                        // 0: no process
  std::uint64_t start_time = 0;   // clock ticks after boot (proc_pid_stat(5), field 22)
  std::uint64_t pidfs_inode = 0;  // 0: the kernel has no pidfs
  std::string boot_id;            // the boot that pidfs_inode belongs to
  bool operator==(const ProcessMark&) const = default;
};

// Empty when there is no such process or only its zombie is left.
std::optional<ProcessMark> mark_process(Pid pid);

// A pidfd of the very process that was marked; empty when it has ended.
std::optional<Fd> open_marked(const ProcessMark& mark);

// Start time of a live process; empty when there is none or only its zombie is left.
std::optional<std::uint64_t> start_time_of(Pid pid);

}  // namespace vrun::runtime
