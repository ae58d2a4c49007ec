#include <cerrno>

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clone_exec.hpp"
#include "base/fault_injection.hpp"
#include "base/pidfd_info.hpp"
#include "base/sys.hpp"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace vrun::sys {
namespace {

std::string process_name(Pid pid) {
  return "process " + std::to_string(pid.value);
}

Exit to_exit(const siginfo_t& info) {
  return Exit{info.si_code != CLD_EXITED, info.si_status};
}

Result<std::optional<Exit>> wait_with(int pidfd, int flags) {
  siginfo_t info{};
  int result;
  do {
    result =
        ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED | flags);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return Error::system(errno, "wait for a process");
  if (info.si_pid == 0) return std::optional<Exit>();
  return std::optional<Exit>(to_exit(info));
}

}  // namespace

Pid self() {
  return Pid(::getpid());
}

Result<Fd> pidfd_open(Pid pid) {
  const long fd = VRUN_CALL("pidfd_open", ::syscall(SYS_pidfd_open, pid.value, 0));
  if (fd < 0) return Error::system(errno, "open " + process_name(pid));
  return Fd(static_cast<int>(fd));
}

Result<Fd> pidfd_getfd(int pidfd, int fd) {
  const long got = VRUN_CALL("pidfd_getfd", ::syscall(SYS_pidfd_getfd, pidfd, fd, 0));
  if (got < 0)
    return Error::system(errno, "fetch descriptor " + std::to_string(fd) + " of a process");
  return Fd(static_cast<int>(got));
}

Result<void> pidfd_signal(int pidfd, int signal) {
  if (VRUN_CALL("pidfd_send_signal", ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0)) !=
      0) {
    return Error::system(errno, "send signal " + std::to_string(signal));
  }
  return {};
}

bool exists(Pid pid) {
  return pid.value > 0 && (::kill(pid.value, 0) == 0 || errno == EPERM);
}

Result<Exit> wait(int pidfd) {
  const std::optional<Exit> exit = TRY(wait_with(pidfd, 0));
  if (!exit) return Error(Code::kInternal, "wait for a process: the kernel reported none");
  return *exit;
}

Result<std::optional<Exit>> try_wait(int pidfd) {
  return wait_with(pidfd, WNOHANG);
}

std::optional<Exit> kept_exit(int pidfd) {
  PidfdInfo info{};
  info.mask = kPidfdInfoExit;
  if (::ioctl(pidfd, kPidfdGetInfo, &info) != 0) return std::nullopt;
  if ((info.mask & kPidfdInfoExit) == 0) return std::nullopt;
  if (WIFSIGNALED(info.exit_code)) return Exit{true, WTERMSIG(info.exit_code)};
  return Exit{false, WEXITSTATUS(info.exit_code)};
}

Result<void> set_namespace(int fd, std::uint64_t type) {
  if (VRUN_CALL("setns", ::setns(fd, static_cast<int>(type))) != 0)
    return Error::system(errno, "join a namespace");
  return {};
}

Result<void> unshare(std::uint64_t flags) {
  if (VRUN_CALL("unshare", ::unshare(static_cast<int>(flags))) != 0)
    return Error::system(errno, "make namespaces");
  return {};
}

Result<Child> clone_exec(const CloneExec& request) {
  int pidfd = -1;
  clone_args args{};
  args.flags = request.flags | CLONE_PIDFD;
  if (request.share_memory) args.flags |= CLONE_VM | CLONE_VFORK;
  if (request.cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(request.cgroup_fd);
  }
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;

  // The child shares our memory until its execve: no handler may run in it.
  sigset_t all;
  sigset_t old;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, &old);
  int exec_error = 0;
  const long pid = VRUN_CALL("clone3", clone3_execveat(&args, sizeof args, request.executable,
                                                       request.argv, request.envp, &exec_error));
  const int clone_error = errno;
  ::sigprocmask(SIG_SETMASK, &old, nullptr);

  if (pid < 0)
    return Error::system(pid == -1 ? clone_error : static_cast<int>(-pid),
                         "clone the container process");
  Child child{Pid(static_cast<pid_t>(pid)), Fd(pidfd)};
  if (exec_error != 0) {
    static_cast<void>(wait(child.pidfd.get()));
    return Error::system(exec_error, "execute the container stage");
  }
  return child;
}

}  // namespace vrun::sys
