#include "rootfs/id_map.hpp"

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"

namespace vrun::rootfs {
namespace {

std::string map_text(const std::vector<oci::IdMapping>& mappings) {
  std::string text;
  for (const oci::IdMapping& one : mappings) {
    text += std::to_string(one.container_id) + " " + std::to_string(one.host_id) + " " +
            std::to_string(one.size) + "\n";
  }
  return text;
}

// A process in a user namespace of its own that waits to be killed. It touches nothing: after
// clone(2) in a program that may have threads only async-signal-safe calls are allowed.
class Sleeper {
 public:
  static Result<Sleeper> create() {
    int pidfd = -1;
    clone_args args{};
    args.flags = CLONE_NEWUSER | CLONE_PIDFD;
    args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
    args.exit_signal = SIGCHLD;
    const long pid = ::syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0) return Error::system(errno, "make a user namespace");
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (true)
        ::pause();
    }
    return Sleeper(Pid(static_cast<pid_t>(pid)), Fd(pidfd));
  }
  Sleeper(Sleeper&&) noexcept = default;
  Sleeper& operator=(Sleeper&&) = delete;
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    if (!pidfd_) return;
    if (sys::pidfd_signal(pidfd_.get(), SIGKILL)) (void)sys::wait(pidfd_.get());
  }
  Pid pid() const { return pid_; }

 private:
  Sleeper(Pid pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  Pid pid_;
  Fd pidfd_;
};

Result<Fd> make_user_namespace(const std::vector<oci::IdMapping>& uids,
                               const std::vector<oci::IdMapping>& gids) {
  const Sleeper sleeper = TRY(Sleeper::create());
  const std::string name = "/proc/" + std::to_string(sleeper.pid().value);
  const Fd process = TRY(sys::open(At::cwd(), name, O_PATH | O_DIRECTORY | O_CLOEXEC));
  TRY(fs::write_value(process, "uid_map", map_text(uids)));
  TRY(fs::write_value(process, "gid_map", map_text(gids)));
  return sys::open(process, "ns/user", O_RDONLY | O_CLOEXEC);
}

}  // namespace

Result<int> IdMaps::user_namespace(const std::vector<oci::IdMapping>& uids,
                                   const std::vector<oci::IdMapping>& gids) {
  for (const Made& one : made_) {
    if (one.uids == uids && one.gids == gids) return one.user_namespace.get();
  }
  Fd fd = TRY(make_user_namespace(uids, gids));
  made_.push_back({uids, gids, std::move(fd)});
  return made_.back().user_namespace.get();
}

}  // namespace vrun::rootfs
