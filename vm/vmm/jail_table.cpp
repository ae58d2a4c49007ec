#include "vm/vmm/jail_table.hpp"

#include <algorithm>

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include "vm/vmm/kvm_requests.hpp"

namespace vrun::vmm::jail {
namespace {

constexpr std::uint32_t kAll = ~0U;

constexpr Call request(unsigned long number, const char* why) {
  return {SYS_ioctl, why, 1, kAll, static_cast<std::uint32_t>(number)};
}
constexpr Call not_executable(std::uint32_t number, const char* why) {
  return {number, why, 2, PROT_EXEC, 0};
}

// What the language's library needs in every thread.
constexpr Call kEveryThread[] = {
    {SYS_futex, "locks, waits for other threads"},
    {SYS_brk, "memory of the heap"},
    not_executable(SYS_mmap, "memory of the heap"),
    {SYS_munmap, "memory of the heap"},
    not_executable(SYS_mprotect, "memory of the heap grows"),
    {SYS_madvise, "a thread's stack goes back at its end"},
    {SYS_write, "an eventfd that wakes a worker; the word about a broken jail"},
    {SYS_rt_sigprocmask, "a thread takes no signals while it ends"},
    {SYS_exit, "the end of the thread"},
    {SYS_restart_syscall, "a wait that the freezer broke goes on"},
};

constexpr Call kWorker[] = {
    {SYS_epoll_wait, "waits for its queue's doorbell and its descriptors"},
    {SYS_epoll_ctl, "watches what it waits for"},
    {SYS_read, "an eventfd or a timer is emptied"},
};

constexpr Call kWithKvm[] = {
    request(KVM_SIGNAL_MSI, "the interrupt for a finished request"),
};

// vhost_user.hpp: QEMU tells over a socket where the guest's memory and queues are.
constexpr Call kWithQemu[] = {
    {SYS_recvmsg, "QEMU's messages with descriptors"},
    {SYS_recvfrom, "the rest of a message"},
    {SYS_sendto, "the answer"},
    {SYS_newfstatat, "the size of a file of guest memory"},
    {SYS_fstat, "the same, by newer C libraries"},
    {SYS_close, "descriptors that QEMU sent"},
};

constexpr Call kProcessor[] = {
    request(KVM_RUN, "the guest runs"),
    request(KVM_IRQ_LINE, "interrupts of serial port and power button"),
    request(KVM_SIGNAL_MSI, "an interrupt that waited while it was masked"),
    request(KVM_IOEVENTFD, "doorbells move where the guest places a device"),
    {SYS_rt_sigreturn, "after the kick that ends KVM_RUN"},
    {SYS_clock_gettime, "RTC, where the vDSO has no clock"},
    {SYS_time, "RTC, where the vDSO has no clock"},
};

constexpr Call kFs[] = {
    {SYS_openat, "looks up and opens what is beneath the share's root"},
    {SYS_openat2, "finds the files of a saved machine again"},
    {SYS_close, "files that the guest has closed"},
    {SYS_fcntl, "another handle for an open file"},
    {SYS_newfstatat, "GETATTR, LOOKUP"},
    {SYS_fstat, "the same of a descriptor, by newer C libraries"},
    {SYS_statx, "which mount a file is of"},
    {SYS_fstatfs, "STATFS, and which file systems are known"},
    {SYS_getdents64, "READDIR"},
    {SYS_lseek, "READDIR's place, LSEEK"},
    {SYS_readlinkat, "READLINK"},
    {SYS_preadv, "READ"},
    {SYS_pwritev, "WRITE"},
    {SYS_copy_file_range, "COPY_FILE_RANGE"},
    {SYS_fallocate, "FALLOCATE"},
    {SYS_ftruncate, "SETATTR: size"},
    {SYS_fchownat, "SETATTR: owner, the owner of what is new"},
    {SYS_fchmodat, "SETATTR: mode"},
    {SYS_utimensat, "SETATTR: times"},
    {SYS_fsync, "FSYNC"},
    {SYS_fdatasync, "FSYNC of data"},
    {SYS_syncfs, "SYNCFS"},
    {SYS_mknodat, "MKNOD"},
    {SYS_mkdirat, "MKDIR"},
    {SYS_symlinkat, "SYMLINK"},
    {SYS_linkat, "LINK"},
    {SYS_unlinkat, "UNLINK, RMDIR"},
    {SYS_renameat, "RENAME without flags (renameat2(3))"},
    {SYS_renameat2, "RENAME"},
    {SYS_getxattr, "GETXATTR"},
    {SYS_setxattr, "SETXATTR"},
    {SYS_listxattr, "LISTXATTR"},
    {SYS_removexattr, "REMOVEXATTR"},
};

constexpr Call kBlock[] = {
    {SYS_preadv, "reads of the disk"},
    {SYS_pwritev, "writes of the disk"},
    {SYS_fdatasync, "FLUSH"},
    {SYS_fallocate, "DISCARD, WRITE_ZEROES"},
    {SYS_lseek, "the size of the disk"},
    {SYS_timerfd_settime, "waits for what its limits allow"},
    {SYS_clock_gettime, "limits, where the vDSO has no clock"},
};

constexpr Call kNet[] = {
    request(TUNSETOFFLOAD, "what the driver takes of a frame's finishing upon itself"),
    {SYS_writev, "frames to the tap"},
    {SYS_timerfd_settime, "a tap that has no room is asked again"},
};

constexpr Call kVsock[] = {
    {SYS_accept4, "somebody who wants to speak to the agent"},
    {SYS_fcntl, "a stream that does not block"},
    {SYS_readv, "from a stream into the guest's buffers"},
    {SYS_sendto, "from the guest into a stream"},
    {SYS_shutdown, "one direction of a stream ends"},
    {SYS_close, "a stream ends"},
};

constexpr Call kEntropy[] = {
    {SYS_getrandom, "random bytes for the guest"},
};

constexpr Call kBalloon[] = {
    {SYS_clock_gettime, "how long it may take, where the vDSO has no clock"},
};

// Calls of the engine; its other end is trusted, what they carry is checked.
constexpr Call kControl[] = {
    {SYS_accept4, "a call"},
    {SYS_poll, "waits for the caller's words"},
    {SYS_recvmsg, "its words, and a file that comes with them"},
    {SYS_sendto, "the answer"},
    {SYS_sendmsg, "the answer in packets"},
    {SYS_close, "the call ends"},
    {SYS_clock_gettime, "patience, where the vDSO has no clock"},
    {SYS_getpid, "kicks of processors: pthread_kill(3)"},
    {SYS_tgkill, "kicks of processors"},
    {SYS_newfstatat, "the size of a file that came"},
    {SYS_fstat, "the same, by newer C libraries"},
    {SYS_ftruncate, "snapshot: the file of the memory"},
    {SYS_pwrite64, "snapshot: the guest's memory"},
    request(KVM_SIGNAL_MSI, "the guest is told of its new memory"),
    request(KVM_IRQ_LINE, "interrupts of serial port and power button"),
    request(KVM_CHECK_EXTENSION, "snapshot: how large the state of a processor is"),
    request(KVM_GET_MP_STATE, "snapshot: processors"),
    request(KVM_GET_SREGS, "snapshot: processors"),
    request(KVM_GET_REGS, "snapshot: processors"),
    request(KVM_GET_XCRS, "snapshot: processors"),
    request(kGetXsave, "snapshot: processors"),
    request(kGetXsave2, "snapshot: processors"),
    request(KVM_GET_DEBUGREGS, "snapshot: processors"),
    request(KVM_GET_LAPIC, "snapshot: processors"),
    request(kGetMsrs, "snapshot: processors"),
    request(KVM_GET_VCPU_EVENTS, "snapshot: processors"),
    request(KVM_GET_TSC_KHZ, "snapshot: processors"),
    request(KVM_GET_IRQCHIP, "snapshot: interrupt controllers"),
    request(KVM_GET_CLOCK, "snapshot: the guest's clock"),
    request(KVM_KVMCLOCK_CTRL, "the guest's watchdog is told that it stood still"),
};

// Makes disks and network cards while the machine runs (plug_calls.hpp): descriptors come from the
// engine, and what a guest wrote is read by the threads that it makes.
constexpr Call kMaker[] = {
    // The flags of clone3 lie in memory, so the C library is to use the older one.
    {.number = SYS_clone3, .why = "threads", .missing = true},
    {SYS_clone, "the thread of a device", 0, CLONE_THREAD, CLONE_THREAD},
    {SYS_set_robust_list, "a thread begins"},
    {SYS_rseq, "a thread begins"},
    {SYS_prctl, "a thread's name, its jail"},
    {SYS_capget, "a thread's jail"},
    {SYS_capset, "a thread's jail"},
    {SYS_seccomp, "a thread's jail"},
    {SYS_landlock_create_ruleset, "a thread's jail"},
    {SYS_landlock_restrict_self, "a thread's jail"},
    {SYS_epoll_create1, "what a thread waits by"},
    {SYS_eventfd2, "doorbells, wakes"},
    {SYS_timerfd_create, "limits"},
    {SYS_close, "a device that goes"},
    {SYS_fcntl, "a tap that does not block"},
    {SYS_newfstatat, "the size of a disk"},
    {SYS_fstat, "the same, by newer C libraries"},
    request(TUNGETIFF, "is it a tap that came?"),
    request(TUNSETVNETHDRSZ, "the header in front of its frames"),
    request(KVM_IRQ_LINE, "the guest is told of its new device"),
    request(KVM_IOEVENTFD, "doorbells go with their devices"),
};

constexpr Call kConsole[] = {
    {SYS_close, "QEMU's serial port ends"},
    {SYS_clock_gettime, "time of a line, where the vDSO has no clock"},
};

// Speaks to the agent and to whoever has the guest's streams.
constexpr Call kMain[] = {
    {SYS_poll, "waits for agent, streams, signals, the machine's end"},
    {SYS_read, "stdin, signals, QEMU's monitor"},
    {SYS_recvfrom, "the agent's frames"},
    {SYS_sendto, "frames to the agent"},
    {SYS_socketpair, "a stream to the agent"},
    {SYS_fcntl, "a stream that does not block"},
    {SYS_close, "the end of a stream"},
    {SYS_getrandom, "the seed of a restored guest"},
    {SYS_clock_gettime, "patience, where the vDSO has no clock"},
    {SYS_newfstatat, "stderr before its first line (stdio)"},
    {SYS_fstat, "the same, by newer C libraries"},
    {SYS_epoll_ctl, "a worker that is not there any more"},
    request(TCGETS, "the terminal's mode"),
    request(TCSETS, "keys go to the guest as they are"),
    request(TCSETSW, "the terminal as it was"),
    request(TIOCGWINSZ, "the terminal's size"),
    request(KVM_IRQ_LINE, "interrupts of serial port and power button"),
    request(KVM_IOEVENTFD, "doorbells go with their devices at the end"),
    {SYS_getpid, "kicks of processors: pthread_kill(3)"},
    {SYS_tgkill, "kicks of processors"},
    {SYS_rt_sigreturn, "after a signal"},
    {SYS_pidfd_send_signal, "QEMU's end"},
    {SYS_waitid, "QEMU's end"},
    {SYS_exit_group, "the end"},
};

// Files of all users of the guest (vm/lower.cpp); valid in the guest's user namespace.
constexpr std::uint32_t kServingFiles = 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE |
                                        1U << CAP_FOWNER | 1U << CAP_FSETID | 1U << CAP_MKNOD |
                                        1U << CAP_SETFCAP;

constexpr Kind kKinds[] = {
    {.name = "main", .calls = kMain, .signals = true},
    {.name = "processor", .calls = kProcessor},
    {.name = "fs",
     .calls = kFs,
     .serves_a_queue = true,
     .capabilities = kServingFiles,
     .opens_files = true},
    {.name = "block", .calls = kBlock, .serves_a_queue = true},
    {.name = "net", .calls = kNet, .serves_a_queue = true},
    {.name = "vsock", .calls = kVsock, .serves_a_queue = true},
    {.name = "entropy", .calls = kEntropy, .serves_a_queue = true},
    {.name = "balloon", .calls = kBalloon, .serves_a_queue = true},
    {.name = "control", .calls = kControl, .serves_a_queue = true, .signals = true},
    {.name = "maker", .calls = kMaker, .serves_a_queue = true, .makes_devices = true},
    {.name = "console", .calls = kConsole, .serves_a_queue = true},
};

struct NumberedName {
  std::uint32_t number;
  std::string_view name;
};
// Made of <asm/unistd_64.h> when the build is configured.
constexpr NumberedName kNames[] = {
#include "vm/vmm/call_names.inc"
};

void join(std::vector<Call>& to, std::span<const Call> calls) {
  to.insert(to.end(), calls.begin(), calls.end());
}

bool is_before(const Call& a, const Call& b) {
  if (a.number != b.number) return a.number < b.number;
  if (a.argument != b.argument) return a.argument < b.argument;
  return a.value < b.value;
}

bool allows_the_same(const Call& a, const Call& b) {
  return a.number == b.number && a.argument == b.argument && a.mask == b.mask && a.value == b.value;
}

}  // namespace

std::span<const Kind> kinds() {
  return kKinds;
}

const Kind* kind_of(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kKinds), std::end(kKinds),
                                         [name](const Kind& kind) { return kind.name == name; });
  return found == std::end(kKinds) ? nullptr : found;
}

std::vector<Call> calls_of(const Kind& kind, Engine engine) {
  std::vector<Call> all;
  join(all, kEveryThread);
  join(all, kind.calls);
  if (kind.makes_devices) {
    join(all, kBlock);
    join(all, kNet);
  }
  if (kind.serves_a_queue) join(all, kWorker);
  if (kind.serves_a_queue && engine == Engine::kKvm) join(all, kWithKvm);
  if (kind.serves_a_queue && engine == Engine::kQemu) join(all, kWithQemu);
  std::stable_sort(all.begin(), all.end(), is_before);
  all.erase(std::unique(all.begin(), all.end(), allows_the_same), all.end());
  return all;
}

std::string_view call_name(std::uint32_t number) {
  const auto* const found =
      std::find_if(std::begin(kNames), std::end(kNames),
                   [number](const NumberedName& one) { return one.number == number; });
  return found == std::end(kNames) ? std::string_view() : found->name;
}

}  // namespace vrun::vmm::jail
