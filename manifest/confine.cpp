#include "manifest/confine.hpp"

#include <array>
#include <cstddef>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace vrun::manifest {
namespace {

constexpr uid_t kNobody = 65534;

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "which AUDIT_ARCH_ is this?"
#endif

constexpr std::array<long, 27> kCalls{
    SYS_read,          SYS_write,           SYS_readv,        SYS_writev,   SYS_close,
    SYS_lseek,         SYS_fstat,           SYS_newfstatat,   SYS_pread64,  SYS_brk,
    SYS_mmap,          SYS_munmap,          SYS_mremap,       SYS_mprotect, SYS_madvise,
    SYS_futex,         SYS_rt_sigreturn,    SYS_rt_sigaction, SYS_exit,     SYS_exit_group,
    SYS_clock_gettime, SYS_getrandom,       SYS_getpid,       SYS_gettid,   SYS_rt_sigprocmask,
    SYS_sigaltstack,   SYS_restart_syscall,
};

sock_filter statement(std::uint16_t code, std::uint32_t value) {
  return BPF_STMT(code, value);
}
sock_filter jump(std::uint16_t code, std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
  return BPF_JUMP(code, value, yes, no);
}

// openat(2) for reading only. Its flags are in the lower half of the third argument, which is all
// that the kernel takes of an int; both architectures are little-endian.
std::vector<sock_filter> program() {
  const auto load = [](std::size_t offset) {
    return statement(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
  };
  const sock_filter allow = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_filter refuse = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  std::vector<sock_filter> out{
      load(offsetof(seccomp_data, arch)), jump(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS), load(offsetof(seccomp_data, nr))};
  for (const long call : kCalls) {
    out.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
    out.push_back(allow);
  }
  constexpr std::uint32_t kWrites = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
  out.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 1, 0));
  out.push_back(refuse);
  out.push_back(load(offsetof(seccomp_data, args) + 2 * sizeof(std::uint64_t)));
  out.push_back(jump(BPF_JMP | BPF_JSET | BPF_K, kWrites, 0, 1));
  out.push_back(refuse);
  out.push_back(allow);
  return out;
}

Result<void> become_nobody() {
  // In a user namespace that does not map nobody there is only root (EINVAL): then the loss of all
  // capabilities has to do.
  if (::setgroups(0, nullptr) != 0 && errno != EPERM) return Error::system(errno, "setgroups");
  if (::setresgid(kNobody, kNobody, kNobody) != 0 && errno != EINVAL)
    return Error::system(errno, "setresgid");
  if (::setresuid(kNobody, kNobody, kNobody) != 0 && errno != EINVAL)
    return Error::system(errno, "setresuid");
  return {};
}

Result<void> limit() {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return Error::system(errno, "limit core files");
#if !defined(__SANITIZE_ADDRESS__)  // its shadow memory takes terabytes of addresses
  constexpr rlim_t kMemory = 2ULL << 30U;
  const rlimit memory{kMemory, kMemory};
  if (::setrlimit(RLIMIT_AS, &memory) != 0) return Error::system(errno, "limit memory");
#endif
  return {};
}

}  // namespace

Result<void> give_up_rights() {
  if (::syscall(SYS_close_range, 3U, ~0U, 0) != 0) return Error::system(errno, "close descriptors");
  TRY(limit());
  if (::geteuid() == 0) TRY(become_nobody());
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const std::array<__user_cap_data_struct, 2> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0)
    return Error::system(errno, "drop capabilities");
  // After the change of ids, which resets it: secrets pass through this memory.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Error::system(errno, "set dumpable");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return Error::system(errno, "set no_new_privs");
  std::vector<sock_filter> filter = program();
  const sock_fprog all{static_cast<unsigned short>(filter.size()), filter.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all, 0, 0) == 0) return {};
  return Error::system(errno, "filter system calls");
}

}  // namespace vrun::manifest
