// PIDFD_GET_INFO (linux/pidfd.h), absent from the headers of Debian 12. Plain: programs without
// libstdc++ use it, too.
#pragma once

#include <stdint.h>
#include <sys/ioctl.h>

namespace vrun {

// Since Linux 6.13; the exit code since 6.15.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t pid, tgid, ppid;
  uint32_t ids[8];
  int32_t exit_code;  // as waitpid(2) says it
};
static_assert(sizeof(PidfdInfo) == 64);
// The kernel has it once the process has been reaped.
constexpr uint64_t kPidfdInfoExit = 1U << 3U;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);

}  // namespace vrun
