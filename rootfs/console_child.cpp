// kConsole: a terminal made from the container's own devpts.
#include <asm/ioctls.h>

#include "rootfs/kernel_child.hpp"
#include "rootfs/paths_child.hpp"
#include "rootfs/rootfs_child.hpp"

namespace vrun::rootfs {
namespace {

using kernel::Owned;
using steps::ConsoleArgs;
using steps::Context;

constexpr uint32_t kPtmxMajor = 5;
constexpr uint32_t kPtmxMinor = 2;

struct WindowSize {  // struct winsize; <asm/termios.h> clashes with the C library's
  uint16_t rows, columns, x, y;
};

long ioctl(int fd, unsigned long what, long argument) {
  return raw::call(__NR_ioctl, fd, static_cast<long>(what), argument);
}

// The multiplexer of a devpts that really is one: a volume or link in its place could hand us the
// host's terminals or a file to write to (CVE-2025-52565).
long open_master(Context& context) {
  const char* const path = "/dev/pts/ptmx";
  Owned master(kernel::openat2(context.root_fd, path, O_RDWR | O_NOCTTY,
                               kernel::kInRoot | RESOLVE_NO_SYMLINKS));
  if (master.get() < 0) {
    context.say("a terminal needs a devpts mounted on /dev/pts");
    return master.get();
  }
  struct statx about {};
  if (const long result = kernel::statx(master.get(), &about); result < 0) return result;
  const bool is_ptmx = kernel::type_of(about) == kernel::kCharacter &&
                       about.stx_rdev_major == kPtmxMajor && about.stx_rdev_minor == kPtmxMinor;
  if (!is_ptmx || kernel::filesystem_of(master.get()) != DEVPTS_SUPER_MAGIC) {
    context.say("/dev/pts/ptmx is not the multiplexer of a devpts");
    return -ENODEV;
  }
  return master.release();
}

// The other end straight from the master: no name is looked up.
long open_peer(int master) {
  int unlocked = 0;
  if (const long result = ioctl(master, TIOCSPTLCK, raw::ptr(&unlocked)); result < 0) return result;
  return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

long set_size(int master, const ConsoleArgs& args) {
  if (args.height == 0 && args.width == 0) return 0;
  const WindowSize size{args.height, args.width, 0, 0};
  return ioctl(master, TIOCSWINSZ, raw::ptr(&size));
}

// The kernel's layouts of struct msghdr and friends; <sys/socket.h> is the C library's.
struct IoVector {
  const void* base;
  size_t bytes;
};
struct MessageHeader {
  void* name;
  int name_bytes;
  IoVector* vectors;
  size_t vector_count;
  void* control;
  size_t control_bytes;
  unsigned flags;
};
struct alignas(size_t) ControlMessage {
  size_t bytes;
  int level;
  int type;
  int fd;
};

// What the peers of --console-socket expect: one message with a name and the master.
long send_to_console_socket(int socket, int master) {
  constexpr long kNoSignal = 0x4000;  // MSG_NOSIGNAL
  constexpr int kSocketLevel = 1;     // SOL_SOCKET
  constexpr int kRights = 1;          // SCM_RIGHTS
  static_assert(offsetof(ControlMessage, fd) == sizeof(size_t) + 2 * sizeof(int));
  IoVector name{"/dev/ptmx", 9};
  ControlMessage control{offsetof(ControlMessage, fd) + sizeof(int), kSocketLevel, kRights, master};
  MessageHeader header{nullptr, 0, &name, 1, &control, sizeof control, 0};
  const long n = raw::call(__NR_sendmsg, socket, raw::ptr(&header), kNoSignal);
  return n < 0 ? n : 0;
}

long send_master(Context& context, const ConsoleArgs& args, int master) {
  if (args.socket >= 0) return send_to_console_socket(args.socket, master);
  return steps::send_message(context, steps::MessageKind::kConsole, 0, master);
}

// The pty also stands at /dev/console, bound by its descriptor on a place that is no link.
long bind_console(Context& context, int peer) {
  Owned mount(kernel::open_tree(peer, "", OPEN_TREE_CLONE | AT_EMPTY_PATH));
  if (mount.get() < 0) return mount.get();
  LookupRules rules;
  rules.missing = Missing::kMakeFile;
  rules.no_links = true;
  Owned target(open_target(context.root_fd, "/dev/console", rules));
  if (target.get() < 0) return target.get();
  if (const long fs = kernel::filesystem_of(target.get()); fs == PROC_SUPER_MAGIC) return -EPERM;
  return kernel::move_mount(mount.get(), target.get());
}

long become_terminal(int peer) {
  raw::call(__NR_setsid);  // EPERM: we lead a session already
  if (const long result = ioctl(peer, TIOCSCTTY, 0); result < 0) return result;
  for (int fd = 0; fd <= 2; ++fd) {
    if (const long result = raw::call(__NR_dup3, peer, fd, 0); result < 0) return result;
  }
  return 0;
}

}  // namespace

long console(Context& context, const ConsoleArgs& args) {
  if (context.root_fd < 0) {
    const long own = raw::openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (own < 0) return own;
    context.root_fd = static_cast<int>(own);
  }
  Owned master(open_master(context));
  if (master.get() < 0) return master.get();
  Owned peer(open_peer(master.get()));
  if (peer.get() < 0) return peer.get();
  long result = set_size(master.get(), args);
  if (result == 0) result = raw::call(__NR_fchown, peer.get(), args.uid, args.gid);
  if (result == 0 && args.mount_console) result = bind_console(context, peer.get());
  if (result == 0) result = send_master(context, args, master.get());
  return result == 0 ? become_terminal(peer.get()) : result;
}

}  // namespace vrun::rootfs
