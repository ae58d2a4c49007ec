#include "vm/guest/server.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <set>

#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/agent/frames.hpp"

namespace vrun::vm {
namespace {

constexpr std::size_t kMostSessions = 256;

Result<Fd> listening(int family, const sockaddr* address, socklen_t bytes) {
  Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::bind(socket.get(), address, bytes) != 0 || ::listen(socket.get(), 64) != 0)
    return Error::system(errno, "listen to the host");
  return socket;
}

// SIGPIPE stays blocked, so that a closed stream is an error and not the end; a program that is
// started begins with no signal blocked.
Result<Fd> child_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGPIPE);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return Error::system(errno, "take signals");
  return signals;
}

void start_session(const Settings& settings, const Fd& listener, std::set<pid_t>& sessions) {
  Fd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) return;
  const pid_t pid = ::fork();
  if (pid > 0) sessions.insert(pid);
  if (pid != 0) return;  // no memory for another: the host sees the stream closed
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
  ::_exit(static_cast<int>(serve(settings, std::move(socket))));
}

// True when a session has said that it is over.
bool reap(const Fd& signals, std::set<pid_t>& sessions) {
  signalfd_siginfo ignored;
  while (::read(signals.get(), &ignored, sizeof ignored) > 0) {
  }
  bool ends = false;
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const bool session = sessions.erase(pid) != 0;
    ends |= session && WIFEXITED(status) && WEXITSTATUS(status) == static_cast<int>(After::kEnd);
  }
  return ends;
}

}  // namespace

Result<Fd> listen_to_host() {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_port = kAgentPort;
  address.svm_cid = VMADDR_CID_ANY;
  return listening(AF_VSOCK, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

bool has_transport() {
  const Fd device(::open("/dev/vsock", O_RDONLY | O_CLOEXEC));
  unsigned cid = VMADDR_CID_ANY;
  if (!device || ::ioctl(device.get(), IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) != 0) return false;
  return cid != VMADDR_CID_ANY && cid != VMADDR_CID_LOCAL;
}

Result<Fd> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error(Code::kInvalid, "the path of a socket has at most 107 bytes");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return listening(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

Result<void> serve_all(const Settings& given, const Fd& listener) {
  const Fd signals = TRY(child_signals());
  // As PID 1 of a machine orphans come here anyway; where another one is it, they are that one's.
  if (!given.system && ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
    return Error::system(errno, "become the reaper of orphans");
  // Made once and here, so that all sessions have it from their beginning.
  const Adoptions adoptions = TRY(Adoptions::create());
  Settings settings = given;
  settings.adoptions = &adoptions;
  std::set<pid_t> sessions;
  while (true) {
    const bool room = sessions.size() < kMostSessions;
    pollfd fds[] = {{.fd = signals.get(), .events = POLLIN, .revents = 0},
                    {.fd = room ? listener.get() : -1, .events = POLLIN, .revents = 0}};
    TRY(sys::poll(fds, -1));
    if (fds[1].revents != 0) start_session(settings, listener, sessions);
    if (fds[0].revents != 0 && reap(signals, sessions)) return {};
  }
}

}  // namespace vrun::vm
