#include "vm/vmm/jail_qemu.hpp"

#include <algorithm>

#include <linux/sched.h>
#include <sys/syscall.h>

namespace vrun::vmm::jail {
namespace {

constexpr Call kQemu[] = {
    {SYS_execve, "QEMU itself"},
    // Its loader and the C library.
    {SYS_brk, "memory"},
    {SYS_mmap, "memory, libraries, translated code"},
    {SYS_munmap, "memory"},
    {SYS_mremap, "memory"},
    {SYS_mprotect, "libraries, translated code"},
    {SYS_madvise, "memory that goes back"},
    {SYS_membarrier, "read-copy-update of the emulator"},
    {SYS_get_mempolicy, "its library for NUMA looks at the machine"},
    {SYS_sched_getaffinity, "how many processors there are"},
    {SYS_sysinfo, "how much memory there is"},
    {SYS_uname, "which kernel there is"},
    {SYS_arch_prctl, "storage of threads"},
    {SYS_set_tid_address, "threads"},
    {SYS_set_robust_list, "threads"},
    {SYS_rseq, "threads"},
    {SYS_futex, "locks"},
    {SYS_sched_yield, "locks"},
    {SYS_getrandom, "seeds; virtio-rng"},
    {SYS_prlimit64, "the size of stacks"},
    {SYS_prctl, "names of threads"},
    {SYS_access, "the loader looks for files"},
    {SYS_readlink, "where its own program is"},
    // Threads, but no processes: the flags of clone3 lie in memory, so the C library is to use
    // this.
    {SYS_clone, "threads", 0, CLONE_THREAD, CLONE_THREAD},
    {SYS_exit, "threads"},
    {SYS_exit_group, "its end"},
    {SYS_gettid, "threads"},
    {SYS_getpid, "threads"},
    {SYS_tgkill, "processors are brought out of the guest's code"},
    {SYS_rt_sigaction, "signals"},
    {SYS_rt_sigprocmask, "signals"},
    {SYS_rt_sigreturn, "signals"},
    {SYS_rt_sigtimedwait, "signals"},
    {SYS_sigaltstack, "coroutines"},
    {SYS_signalfd4, "signals"},
    {SYS_restart_syscall, "a wait that the freezer broke goes on"},
    // Files of its root, which is read-only, and memory in files.
    {SYS_openat, "libraries, modules, firmware, kernel"},
    {SYS_close, "descriptors"},
    {SYS_read, "descriptors"},
    {SYS_write, "descriptors"},
    {SYS_readv, "network cards"},
    {SYS_writev, "network cards"},
    {SYS_pread64, "files"},
    {SYS_lseek, "files"},
    {SYS_newfstatat, "files"},
    {SYS_fstat, "files"},
    {SYS_statfs, "files"},
    {SYS_fstatfs, "memory in files"},
    {SYS_memfd_create, "the guest's memory"},
    {SYS_ftruncate, "the guest's memory"},
    {SYS_fallocate, "memory that the guest gave up"},
    {SYS_fcntl, "descriptors"},
    {SYS_dup, "descriptors"},
    {SYS_ioctl, "network cards, the console"},
    {SYS_pipe2, "wakes"},
    {SYS_eventfd2, "doorbells and interrupts of our devices"},
    // Its loop.
    {SYS_epoll_create1, "waits"},
    {SYS_epoll_ctl, "waits"},
    {SYS_epoll_wait, "waits"},
    {SYS_epoll_pwait, "waits"},
    {SYS_poll, "waits"},
    {SYS_ppoll, "waits"},
    {SYS_clock_gettime, "time, where the vDSO has no clock"},
    {SYS_clock_nanosleep, "time"},
    // Sockets that it was handed: no new one can be made.
    {SYS_sendmsg, "our devices, the monitor"},
    {SYS_recvmsg, "our devices, the monitor"},
    {SYS_sendto, "our devices, the monitor"},
    {SYS_recvfrom, "our devices, the monitor"},
    {SYS_getsockname, "what it was handed"},
    {SYS_getpeername, "what it was handed"},
    {SYS_getsockopt, "what it was handed"},
    {SYS_setsockopt, "what it was handed"},
    {SYS_shutdown, "the end of a socket"},
};

}  // namespace

std::vector<Call> calls_of_qemu() {
  std::vector<Call> calls(std::begin(kQemu), std::end(kQemu));
  std::sort(calls.begin(), calls.end(),
            [](const Call& a, const Call& b) { return a.number < b.number; });
  return calls;
}

}  // namespace vrun::vmm::jail
