#include "base/spawn.hpp"

#include <array>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "base/text.hpp"

namespace vrun {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<char*> to_pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& s : strings)
    pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Result<Fd> input_file(const std::string& input) {
  if (input.empty()) return sys::open(At::cwd(), "/dev/null", O_RDONLY);
  Fd file = TRY(sys::memfd("input"));
  TRY(sys::write_all(file.get(), input));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return Error::system(errno, "rewind input");
  return file;
}

// The attributes and file actions of posix_spawn, destroyed together.
class SpawnSetup {
 public:
  SpawnSetup() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
  }
  ~SpawnSetup() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  void prepare(const Command& command, int in, int out) {
    ::posix_spawn_file_actions_adddup2(&actions_, in, 0);
    ::posix_spawn_file_actions_adddup2(&actions_, out, 1);
    ::posix_spawn_file_actions_adddup2(&actions_, out, 2);
    // dup2 onto itself takes close-on-exec away (glibc 2.29); everything else is born with it.
    for (const int fd : command.keep)
      ::posix_spawn_file_actions_adddup2(&actions_, fd, fd);
    if (!command.cwd.empty())
      ::posix_spawn_file_actions_addchdir_np(&actions_, command.cwd.c_str());
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setpgroup(&attributes_, 0);  // so that a timeout reaches grandchildren too
    ::posix_spawnattr_setflags(
        &attributes_,
        static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
  }

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

Result<Pid> start(const Command& command, int in, int out) {
  SpawnSetup setup;
  setup.prepare(command, in, out);
  std::vector<char*> argv = to_pointers(command.argv);
  std::vector<char*> env = to_pointers(command.env);
  pid_t pid = -1;
  const bool search = command.path.find('/') == std::string::npos;
  const int error = search ? ::posix_spawnp(&pid, command.path.c_str(), setup.actions(),
                                            setup.attributes(), argv.data(), env.data())
                           : ::posix_spawn(&pid, command.path.c_str(), setup.actions(),
                                           setup.attributes(), argv.data(), env.data());
  if (error != 0) return Error::system(error, "run " + quote(command.path));
  return Pid(pid);
}

// Keeps the end of what comes; false at the end of file.
bool drain(int pipe, std::size_t limit, std::string& output) {
  std::array<char, 4096> buffer{};
  const Result<std::size_t> n = sys::read(pipe, buffer);
  if (!n || *n == 0) return false;
  output.append(buffer.data(), *n);
  if (output.size() > limit) output.erase(0, output.size() - limit);
  return true;
}

int remaining_ms(const std::optional<Clock::time_point>& deadline) {
  if (!deadline) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
  return left > 0 ? static_cast<int>(std::min<long>(left, 1 << 30)) : 0;
}

enum class Outcome { kEnded, kTimeout, kCompanionEnded };

// What lies in the pipe by now; a grandchild may go on writing for ever.
void drain_rest(int pipe, std::size_t limit, std::string& output) {
  constexpr int kMostReads = 32;  // of 4 KiB: twice what a pipe holds
  std::array<pollfd, 1> rest{pollfd{pipe, POLLIN, 0}};
  for (int i = 0; i < kMostReads && sys::poll(rest, 0).value_or(0) > 0; ++i) {
    if (!drain(pipe, limit, output)) return;
  }
}

// Collects output until the program itself ends; a grandchild that keeps the pipe open is not
// waited for.
Result<Outcome> wait_until_done(const Command& command, int pidfd, int pipe,
                                const std::optional<Clock::time_point>& deadline,
                                std::string& output) {
  bool pipe_open = true;
  while (true) {
    std::array<pollfd, 3> fds{pollfd{pidfd, POLLIN, 0}, pollfd{pipe_open ? pipe : -1, POLLIN, 0},
                              pollfd{command.ends_with, POLLIN, 0}};
    const int ready = TRY(sys::poll(fds, remaining_ms(deadline)));
    if (ready == 0 && deadline && Clock::now() >= *deadline) return Outcome::kTimeout;
    if (fds[1].revents != 0) pipe_open = drain(pipe, command.output_limit, output);
    if (fds[0].revents != 0) break;
    if (fds[2].revents != 0) return Outcome::kCompanionEnded;
  }
  if (pipe_open) drain_rest(pipe, command.output_limit, output);
  return Outcome::kEnded;
}

Error not_ended(const Command& command, Outcome outcome) {
  if (outcome == Outcome::kCompanionEnded)
    return Error(Code::kState, "run " + quote(command.path) +
                                   ": killed, because the process it was for has ended");
  return Error(Code::kTimeout, "run " + quote(command.path) + ": still running after " +
                                   std::to_string(command.timeout->count()) + " ms, killed");
}

}  // namespace

Result<Finished> run(const Command& command) {
  Fd in = TRY(input_file(command.input));
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "make a pipe");
  Fd out_read(ends[0]);
  Fd out_write(ends[1]);
  std::optional<Clock::time_point> deadline;
  if (command.timeout) deadline = Clock::now() + *command.timeout;

  const Pid pid = TRY(start(command, in.get(), out_write.get()));
  out_write.reset();
  Fd pidfd = TRY(sys::pidfd_open(pid));
  Finished finished;
  const Outcome outcome =
      TRY(wait_until_done(command, pidfd.get(), out_read.get(), deadline, finished.output));
  if (outcome != Outcome::kEnded) ::kill(-pid.value, SIGKILL);
  finished.exit = TRY(sys::wait(pidfd.get()));
  if (outcome == Outcome::kEnded) return finished;
  return not_ended(command, outcome);
}

}  // namespace vrun
