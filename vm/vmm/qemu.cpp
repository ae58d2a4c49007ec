#include "vm/vmm/qemu.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/vmm/jail.hpp"

namespace vrun::vmm {
namespace {

constexpr std::size_t kServedOfFs = 2;     // high priority and one for requests
constexpr std::size_t kServedOfVsock = 2;  // QEMU keeps the one for events
// On a busy host an emulated timer is too late for the kernel's check of it, which would panic
// (kernel-parameters.txt, no_timer_check).
constexpr const char* kUnhurried = " no_timer_check";

struct Pair {
  Fd ours, theirs;
};

Result<Pair> socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return Error::system(errno, "make a device's socket");
  return Pair{Fd(ends[0]), Fd(ends[1])};
}

Result<Pair> pipe_pair() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "make a console");
  return Pair{Fd(ends[0]), Fd(ends[1])};
}

// No capability can come back at the exec: the process has no_new_privs (capabilities(7)).
bool drop_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> none{};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_capset, &header, none.data()) == 0;
}

}  // namespace

Result<std::unique_ptr<Qemu>> Qemu::create(QemuShape shape,
                                           std::function<void(std::string_view)> console) {
  std::unique_ptr<Worker> worker = TRY(Worker::create("console"));
  return std::unique_ptr<Qemu>(new Qemu(std::move(shape), std::move(worker), std::move(console)));
}

Qemu::Qemu(QemuShape shape, std::unique_ptr<Worker> worker,
           std::function<void(std::string_view)> console)
    : shape_(std::move(shape)), worker_(std::move(worker)), console_(std::move(console)) {}

Qemu::~Qemu() {
  if (process_) {
    ::syscall(SYS_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0);
    siginfo_t info;
    ::waitid(P_PIDFD, static_cast<id_t>(process_.get()), &info, WEXITED);
  }
  if (screen_) worker_->run([this] { worker_->forget(screen_.get()); });
}

Result<int> Qemu::add(std::unique_ptr<VirtioDevice> device, std::size_t queues) {
  Pair pair = TRY(socket_pair());
  devices_.push_back(std::make_unique<VhostUser>(
      std::move(device), std::move(pair.ours), queues,
      [this](const std::string& why) { console_("vrun-vmm: " + why + "\r\n"); }));
  theirs_.push_back(std::move(pair.theirs));
  return theirs_.back().get();
}

Result<void> Qemu::add_fs(std::unique_ptr<VirtioDevice> fs, const std::string& tag) {
  const std::string id = "fs" + std::to_string(devices_.size());
  const int fd = TRY(add(std::move(fs), kServedOfFs));
  device_arguments_.insert(device_arguments_.end(),
                           {"-chardev", "socket,id=" + id + ",fd=" + std::to_string(fd), "-device",
                            "vhost-user-fs-pci,chardev=" + id + ",queue-size=256,tag=" + tag});
  return {};
}

Result<void> Qemu::add_vsock(std::unique_ptr<VirtioDevice> vsock) {
  const int fd = TRY(add(std::move(vsock), kServedOfVsock));
  device_arguments_.insert(device_arguments_.end(),
                           {"-chardev", "socket,id=vsock,fd=" + std::to_string(fd), "-device",
                            "vhost-user-vsock-pci-non-transitional,chardev=vsock"});
  return {};
}

Result<void> Qemu::add_block(std::unique_ptr<VirtioDevice> block) {
  const std::string id = "disk" + std::to_string(devices_.size());
  const int fd = TRY(add(std::move(block), 1));
  device_arguments_.insert(device_arguments_.end(),
                           {"-chardev", "socket,id=" + id + ",fd=" + std::to_string(fd), "-device",
                            "vhost-user-blk-pci,disable-legacy=on,num-queues=1,queue-size=256,"
                            "chardev=" +
                                id});
  return {};
}

void Qemu::add_net(Fd tap, const NetCard& card) {
  const std::string id = "net" + std::to_string(theirs_.size());
  std::array<char, 18> mac{};
  std::snprintf(mac.data(), mac.size(), "%02x:%02x:%02x:%02x:%02x:%02x", card.mac[0], card.mac[1],
                card.mac[2], card.mac[3], card.mac[4], card.mac[5]);
  device_arguments_.insert(
      device_arguments_.end(),
      {"-netdev", "tap,id=" + id + ",vhost=off,fd=" + std::to_string(tap.get()), "-device",
       "virtio-net-pci,disable-legacy=on,romfile=,netdev=" + id + ",mac=" + mac.data() +
           ",host_mtu=" + std::to_string(card.mtu)});
  theirs_.push_back(std::move(tap));
}

// Names are those of the folder. The translation cache is bounded: it counts in the cgroup.
std::vector<std::string> Qemu::arguments(const Fd& monitor) const {
  const std::string memory = std::to_string(shape_.memory);
  std::vector<std::string> words{
      "/ld.so",    "--inhibit-cache", "--library-path",  "/lib",     "/qemu", "-L",
      "/firmware", "-nodefaults",     "-no-user-config", "-display", "none",  "-no-reboot"};
  const std::vector<std::string> machine{
      "-machine", "q35,memory-backend=ram,sata=off,smbus=off,usb=off,vmport=off,hpet=off",
      "-accel",   "tcg,thread=multi,tb-size=64",
      "-cpu",     "max",
      "-smp",     std::to_string(shape_.processors),
      "-m",       "size=" + std::to_string(shape_.memory >> 20U) + "M",
      "-object",  "memory-backend-memfd,id=ram,share=on,size=" + memory,
      "-chardev", "stdio,id=console,signal=off",
      "-serial",  "chardev:console",
      "-chardev", "socket,id=monitor,fd=" + std::to_string(monitor.get()),
      "-mon",     "chardev=monitor,mode=control",
      "-device",  "virtio-rng-pci,disable-legacy=on",
      "-device",  "virtio-balloon-pci-non-transitional,free-page-reporting=on",
      "-kernel",  "/vmlinux",
      "-initrd",  "/initramfs",
      "-append",  shape_.command_line + kUnhurried};
  words.insert(words.end(), machine.begin(), machine.end());
  words.insert(words.end(), device_arguments_.begin(), device_arguments_.end());
  return words;
}

Result<void> Qemu::start() {
  Pair in = TRY(pipe_pair()), out = TRY(pipe_pair()), monitor = TRY(socket_pair());
  std::vector<std::string> words = arguments(monitor.theirs);
  std::vector<char*> pointers;
  for (std::string& word : words)
    pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return Error::system(errno, "start QEMU");
  if (child == 0) become(pointers.data(), {in.ours, out.theirs, monitor.theirs});
  process_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!process_) return Error::system(errno, "watch QEMU");
  monitor_ = std::make_unique<Qmp>(std::move(monitor.ours));
  keys_ = std::move(in.theirs);
  screen_ = std::move(out.ours);
  theirs_.clear();
  ::fcntl(keys_.get(), F_SETFL, O_NONBLOCK);
  worker_->run([this] {
    worker_->watch(screen_.get(), EPOLLIN, [this](std::uint32_t) { read_console(); });
  });
  return {};
}

// In the child, where other threads and their locks do not go on: only system calls.
void Qemu::become(char* const* words, const Handed& handed) const {
  constexpr int kCannot = 127;
  char modules[] = "QEMU_MODULE_DIR=/modules";
  std::array<char*, 2> environment{modules, nullptr};
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  bool good = ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0;
  good = good && ::dup2(handed.in.get(), STDIN_FILENO) >= 0 &&
         ::dup2(handed.out.get(), STDOUT_FILENO) >= 0 &&
         ::dup2(handed.out.get(), STDERR_FILENO) >= 0;
  good = good && ::syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
  good = good && ::fcntl(handed.monitor.get(), F_SETFD, 0) == 0;
  for (const Fd& socket : theirs_)
    good = good && ::fcntl(socket.get(), F_SETFD, 0) == 0;
  good = good && ::fchdir(shape_.root.get()) == 0 && ::chroot(".") == 0 && drop_capabilities();
  good = good && jail::enter_as_qemu();
  if (good) ::execve(words[0], words, environment.data());
  ::_exit(kCannot);
}

void Qemu::read_console() {
  std::array<char, 4096> buffer;
  const ssize_t got = ::read(screen_.get(), buffer.data(), buffer.size());
  if (got > 0) return console_({buffer.data(), static_cast<std::size_t>(got)});
  if (got < 0 && errno == EINTR) return;
  worker_->forget(screen_.get());
}

std::size_t Qemu::type(std::string_view text) {
  const ssize_t typed = ::write(keys_.get(), text.data(), text.size());
  return typed < 0 ? 0 : static_cast<std::size_t>(typed);
}

}  // namespace vrun::vmm
