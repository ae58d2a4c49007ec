#include "vm/guest/system_process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.hpp"
#include "steps/builder.hpp"

namespace vrun::vm {
namespace {

// Of login.defs(5), ENV_SUPATH.
constexpr const char* kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool has_variable(const std::vector<std::string>& env, std::string_view start) {
  return std::any_of(env.begin(), env.end(),
                     [&](const std::string& one) { return one.starts_with(start); });
}

std::vector<std::string> environment_of(const ExecRequest& request) {
  std::vector<std::string> env = request.env;
  if (!has_variable(env, "PATH=")) env.emplace_back(kPath);
  const bool is_root = !request.user || request.user->uid == Uid(0);
  if (is_root && !has_variable(env, "HOME=")) env.emplace_back("HOME=/root");
  return env;
}

// execve(2) wants them so; the strings are the owner's.
std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words)
    pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Where the child fell, and why; nothing comes when it did not.
struct Fall {
  enum class At : int { kStreams, kUser, kDirectory, kProgram } at = At::kStreams;
  int error = 0;
};

struct Terminal {
  Fd master, slave;
};

Result<Terminal> open_terminal(const ExecRequest& request) {
  Terminal terminal;
  terminal.master = Fd(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  int unlock = 0;
  if (!terminal.master || ::ioctl(terminal.master.get(), TIOCSPTLCK, &unlock) != 0)
    return Error::system(errno, "make a terminal")
        .hint("the system needs `mount -t devpts devpts /dev/pts`");
  terminal.slave = Fd(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave) return Error::system(errno, "open the terminal");
  if (request.console_size)
    set_size(terminal.master, request.console_size->height, request.console_size->width);
  if (request.user && ::fchown(terminal.slave.get(), request.user->uid.value, gid_t(-1)) != 0)
    return Error::system(errno, "give the terminal to the user");
  return terminal;
}

bool take_streams(const std::array<int, 3>& streams, bool terminal) {
  for (int i = 0; i < 3; ++i)
    if (::dup2(streams[static_cast<std::size_t>(i)], i) < 0) return false;
  return !terminal || ::ioctl(0, TIOCSCTTY, 0) == 0;
}

bool take_user(const oci::User& user) {
  std::vector<gid_t> groups;
  for (const Gid gid : user.additional_gids)
    groups.push_back(gid.value);
  return ::setgroups(groups.size(), groups.data()) == 0 && ::setgid(user.gid.value) == 0 &&
         ::setuid(user.uid.value) == 0;
}

void take_signals() {
  for (int signal = 1; signal < NSIG; ++signal)
    ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// As execvp(3), with the PATH of the new environment; ENOENT is told after what else was wrong.
int execute(std::vector<std::string>& args, std::vector<std::string>& env) {
  const std::vector<char*> words = pointers_to(args), variables = pointers_to(env);
  const std::string& name = args.front();
  const auto try_one = [&](const std::string& path) {
    ::execve(path.c_str(), words.data(), variables.data());
    return errno;
  };
  if (name.find('/') != std::string::npos) return try_one(name);
  if (name.empty()) return ENOENT;
  int told = ENOENT;
  for (const std::string& variable : env) {
    if (!variable.starts_with("PATH=")) continue;
    for (const std::string_view dir : split(std::string_view(variable).substr(5), ':')) {
      const int error = try_one((dir.empty() ? "." : std::string(dir)) + "/" + name);
      if (error == EACCES || (error != ENOENT && error != ENOTDIR)) told = error;
    }
    break;
  }
  return told;
}

struct Start {
  const ExecRequest& request;
  std::array<int, 3> streams;
  std::vector<std::string> args, env;
};

// The child's own half; a copy of a process with one thread, so it may do anything.
[[noreturn]] void become(Start start, const Fd& fault) {
  const auto fall = [&](Fall::At at, int error) {
    const Fall told{at, error};
    [[maybe_unused]] const ssize_t said = ::write(fault.get(), &told, sizeof told);
    ::_exit(127);
  };
  take_signals();
  ::umask(022);
  ::setsid();
  if (!take_streams(start.streams, start.request.terminal)) fall(Fall::At::kStreams, errno);
  if (!take_user(start.request.user.value_or(oci::User()))) fall(Fall::At::kUser, errno);
  const std::string cwd = start.request.cwd.empty() ? "/" : start.request.cwd;
  if (::chdir(cwd.c_str()) != 0) fall(Fall::At::kDirectory, errno);
  const int error = execute(start.args, start.env);
  fall(Fall::At::kProgram, error);
  ::_exit(127);
}

Error error_of(const Fall& fall, const ExecRequest& request) {
  switch (fall.at) {
    case Fall::At::kStreams:
      return Error::system(fall.error, "take the streams");
    case Fall::At::kUser:
      return Error::system(fall.error, "become the user");
    case Fall::At::kDirectory:
      return Error::system(fall.error, "working directory " + quote(request.cwd));
    case Fall::At::kProgram:
      break;
  }
  return std::move(Error::system(fall.error, "execute " + quote(request.args.front()))
                       .step(steps::name_of(steps::Op::kFindProgram)));
}

}  // namespace

Result<sys::Child> start_in_system(const ExecRequest& request, const Pipes& pipes, Fd& console) {
  if (!request.capabilities.empty() || request.no_new_privileges) {
    return Error(Code::kUnsupported,
                 "a process in a system with an init of its own has the rights of its user there")
        .hint("leave --privileged away: root has all of them");
  }
  Terminal terminal;
  if (request.terminal) terminal = TRY(open_terminal(request));
  Start start{request, {}, request.args, environment_of(request)};
  for (std::size_t i = 0; i < 3; ++i)
    start.streams[i] = request.terminal ? terminal.slave.get() : pipes.theirs[i].get();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::system(errno, "make a pipe");
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return Error::system(errno, "start a process");
  if (pid == 0) become(std::move(start), writer);
  writer.reset();
  sys::Child child{.pid = Pid(pid), .pidfd = TRY(sys::pidfd_open(Pid(pid)))};
  Fall fall;
  ssize_t got = 0;
  do
    got = ::read(reader.get(), &fall, sizeof fall);
  while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof fall)) {
    static_cast<void>(sys::wait(child.pidfd.get()));
    return error_of(fall, request);
  }
  console = std::move(terminal.master);
  return child;
}

}  // namespace vrun::vm
