#include "images/transfer/sandbox.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.hpp"

namespace vrun::images {
namespace {

// chown, modes and times of others' files, set-id bits, file capabilities; trusted.* attributes
// need CAP_SYS_ADMIN (xattr(7)).
constexpr std::array kKept{CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,
                           CAP_FSETID, CAP_SETFCAP,      CAP_SYS_ADMIN};

Result<void> close_all_but(std::span<const int> keep) {
  std::vector<unsigned> kept;
  for (const int fd : keep)
    kept.push_back(static_cast<unsigned>(fd));
  std::sort(kept.begin(), kept.end());
  unsigned from = 3;
  for (const unsigned fd : kept) {
    if (fd < from) continue;
    if (fd > from && ::syscall(SYS_close_range, from, fd - 1, 0) != 0) {
      return Error::system(errno, "close descriptors");
    }
    from = fd + 1;
  }
  if (::syscall(SYS_close_range, from, ~0U, 0) != 0) {
    return Error::system(errno, "close descriptors");
  }
  return {};
}

Result<void> drop_capabilities() {
  for (int cap = 0; ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; ++cap) {
    if (std::find(kKept.begin(), kKept.end(), cap) != kKept.end()) continue;
    // Without CAP_SETPCAP the bounding set stays; no_new_privs makes it harmless.
    static_cast<void>(::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0));
  }
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) {
    return Error::system(errno, "read capabilities");
  }
  std::array<__u32, 2> mask{};
  for (const int cap : kKept) {
    const auto bit = static_cast<unsigned>(cap);
    mask[bit / 32] |= 1U << (bit % 32);
  }
  for (std::size_t i = 0; i < data.size(); ++i) {
    data[i].permitted &= mask[i];
    data[i].effective = data[i].permitted;
    data[i].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, data.data()) != 0) {
    return Error::system(errno, "drop capabilities");
  }
  return {};
}

// /proc/self/fdinfo belongs to this process alone and holds nothing but numbers: once it is the
// root directory, no path leads anywhere. (An image's own tree must not be the root: glibc could
// load its modules.)
Result<void> leave_the_file_tree() {
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) != 0) {
    return Error::system(errno, "unshare");
  }
  if (::chroot("/proc/self/fdinfo") != 0 || ::chdir("/") != 0) {
    return Error::system(errno, "chroot");
  }
  return {};
}

constexpr uid_t kNobody = 65534;

Result<void> become_nobody() {
  // In a user namespace that does not map nobody there is only root (EINVAL): then the loss of all
  // capabilities has to do.
  if (::setgroups(0, nullptr) != 0 && errno != EPERM) return Error::system(errno, "setgroups");
  if (::setresgid(kNobody, kNobody, kNobody) != 0 && errno != EINVAL) {
    return Error::system(errno, "setresgid");
  }
  if (::setresuid(kNobody, kNobody, kNobody) != 0 && errno != EINVAL) {
    return Error::system(errno, "setresuid");
  }
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const std::array<__user_cap_data_struct, 2> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) {
    return Error::system(errno, "drop capabilities");
  }
  return {};
}

}  // namespace

Result<void> enter_network_sandbox(std::span<const int> keep) {
  TRY(close_all_but(keep));
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return Error::system(errno, "limit core files");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Error::system(errno, "set no_new_privs");
  }
  if (::geteuid() != 0) return {};
  TRY(become_nobody());
  // After the change of ids, which resets it: others of nobody's may not trace us.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Error::system(errno, "set dumpable");
  return {};
}

Result<void> enter_sandbox(std::span<const int> keep, bool privileged) {
  TRY(close_all_but(keep));
#if !defined(__SANITIZE_ADDRESS__)  // its shadow memory takes terabytes of addresses
  constexpr rlim_t kMemory = 2ULL << 30U;
  const rlimit memory{kMemory, kMemory};
  if (::setrlimit(RLIMIT_AS, &memory) != 0) return Error::system(errno, "limit memory");
#endif
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return Error::system(errno, "limit core files");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Error::system(errno, "set no_new_privs");
  }
  if (!privileged) return {};
  TRY(leave_the_file_tree());
  return drop_capabilities();
}

}  // namespace vrun::images
