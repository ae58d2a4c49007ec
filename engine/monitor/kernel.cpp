#include "engine/monitor/kernel.hpp"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace vrun::monitor {
namespace {

// struct pidfd_info (linux/pidfd.h, since 6.13; the exit code since 6.15), absent from the headers
// of Debian 12.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t pid, tgid, ppid;
  uint32_t ids[8];
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr uint64_t kInfoExit = 1U << 3U;
constexpr unsigned long kGetInfo = _IOWR(0xFF, 11, PidfdInfo);

}  // namespace

int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

int pidfd_send(int pidfd, int signal) {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

int pidfd_open(int pid) {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

Ending ending_of(int pidfd) {
  siginfo_t info{};
  int result;
  do {
    result = ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED);
  } while (result < 0 && errno == EINTR);
  if (result == 0) {
    const bool exited = info.si_code == CLD_EXITED;
    return {true, exited ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f};
  }
  // It is init's child now, and the kernel tells once init has reaped it: at once with systemd, after
  // a second or two with an init that looks now and then.
  for (int look = 0; look < 120; ++look) {
    PidfdInfo asked{};
    asked.mask = kInfoExit;
    if (::ioctl(pidfd, kGetInfo, &asked) != 0) break;
    if ((asked.mask & kInfoExit) != 0) return {true, asked.exit_code & 0xff7f};
    const timespec pause{0, look < 20 ? 2000000 : 50000000};
    ::nanosleep(&pause, nullptr);
  }
  return {};
}

}  // namespace vrun::monitor
