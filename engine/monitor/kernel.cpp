#include "engine/monitor/kernel.hpp"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/pidfd_info.hpp"

namespace vrun::monitor {

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
  // It is init's child now, and the kernel tells once init has reaped it: at once with systemd,
  // after a second or two with an init that looks now and then.
  bool gone = false;
  for (int look = 0; look < 120; ++look) {
    PidfdInfo asked{};
    asked.mask = kPidfdInfoExit;
    if (::ioctl(pidfd, kPidfdGetInfo, &asked) != 0) {
      // ESRCH: or it was reaped while the kernel looked, which knows it the next time.
      if (errno != ESRCH || gone) break;
      gone = true;
      continue;
    }
    if ((asked.mask & kPidfdInfoExit) != 0) return {true, asked.exit_code & 0xff7f};
    const timespec pause{0, look < 20 ? 2000000 : 50000000};
    ::nanosleep(&pause, nullptr);
  }
  return {};
}

}  // namespace vrun::monitor
