// Waits for the OOM killer to strike in a group.
//
// Counts the oom_kill line of an events file, so that no kill between two waits is lost; the file's
// own notification (inotify on v2, an eventfd registered with cgroup.event_control on v1) only ends
// the sleep.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::cgroups {

class OomWatch {
 public:
  // True if a kill happened since the last call (or, at first, since the first call began). False
  // at the end of the time. Code::kNotFound when the group is gone.
  Result<bool> wait(const std::string& dir, const std::string& file, int timeout_ms);

 private:
  Result<void> arm(const std::string& dir, const std::string& file);
  Result<std::uint64_t> count(const std::string& dir, const std::string& file) const;

  Fd notify_;   // inotify or eventfd
  Fd control_;  // v1: the watched memory.oom_control
  std::optional<std::uint64_t> seen_;
};

}  // namespace vrun::cgroups
