#include "runtime/launch.hpp"

#include <array>
#include <cstdio>

#include <linux/sched.h>
#include <signal.h>

#include "base/fs.hpp"
#include "base/text.hpp"
#include "runtime/stage.hpp"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace vrun::runtime {
namespace {

// Inherited by the clone and by nobody else: this process has one thread and starts nothing in
// between.
class Inheritance {
 public:
  explicit Inheritance(std::span<const int> fds) : fds_(fds) {}
  Inheritance(const Inheritance&) = delete;
  Inheritance& operator=(const Inheritance&) = delete;
  ~Inheritance() {
    for (const int fd : fds_)
      static_cast<void>(sys::set_inheritable(fd, false));
  }
  Result<void> open() {
    for (const int fd : fds_)
      TRY(sys::set_inheritable(fd, true));
    return {};
  }

 private:
  std::span<const int> fds_;
};

Result<sys::Child> clone_stage(const LaunchRequest& request) {
  const steps::Program& program = request.builder->program();
  std::array<char, 3 * 24> numbers{};
  char* fd = numbers.data();
  char* address = numbers.data() + 24;
  char* bytes = numbers.data() + 48;
  std::snprintf(fd, 24, "%d", program.block_fd);
  std::snprintf(address, 24, "%lu", static_cast<unsigned long>(program.block_address));
  std::snprintf(bytes, 24, "%lu", static_cast<unsigned long>(program.block_bytes));
  std::array<char, 10> name{"vrun-init"};
  const std::array<char*, 5> argv{name.data(), fd, address, bytes, nullptr};
  const std::array<char*, 1> envp{nullptr};

  const Fd stage = TRY(stage_executable());
  Inheritance inheritance(request.builder->inherited());
  TRY(inheritance.open());
  const namespaces::ParentScope scope = TRY(namespaces::ParentScope::enter(*request.namespaces));
  // A clone that shares memory cannot be born into another time namespace (clone3(2), before
  // Linux 6.2 at least).
  return sys::clone_exec({.flags = request.namespaces->clone_flags,
                          .cgroup_fd = request.cgroup_fd,
                          .share_memory = !request.namespaces->makes(CLONE_NEWTIME),
                          .executable = stage.get(),
                          .argv = argv.data(),
                          .envp = envp.data()});
}

}  // namespace

Launched::~Launched() {
  if (!armed_ || !serving_.child.pidfd) return;
  static_cast<void>(sys::pidfd_signal(serving_.child.pidfd.get(), SIGKILL));
  static_cast<void>(sys::wait(serving_.child.pidfd.get()));
}

sys::Child Launched::release() {
  armed_ = false;
  return std::move(serving_.child);
}

Result<Launched> launch(const LaunchRequest& request) {
  sys::SocketPair wire = TRY(sys::packet_pair());
  request.builder->program().clone_flags = request.namespaces->clone_flags;
  request.builder->program().wire = request.builder->inherit_borrowed(wire.theirs.get());
  Serving serving;
  serving.child = TRY(clone_stage(request));
  serving.wire = std::move(wire.mine);
  serving.builder = request.builder;
  serving.argv = request.argv;
  return Launched(std::move(serving));
}

Result<void> write_pid_file(const std::string& path, Pid pid) {
  if (path.empty()) return {};
  Result<Fd> dir = sys::open_dir(At::cwd(), std::string(fs::dir_name(path)));
  if (!dir) return std::move(dir).error().at("--pid-file");
  return fs::replace_file(*dir, std::string(fs::base_name(path)), std::to_string(pid.value), 0644);
}

Result<void> send_pidfd(const std::string& path, int pidfd) {
  if (path.empty()) return {};
  Result<Fd> socket = sys::connect_stream(path);
  if (!socket) return std::move(socket).error().at("--pidfd-socket");
  constexpr std::string_view kName = "pidfd";
  return sys::send(socket->get(), kName, pidfd);
}

}  // namespace vrun::runtime
