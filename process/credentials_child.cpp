#include "process/credentials_child.hpp"

#include <asm/errno.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

namespace vrun::process {
namespace {

constexpr uint64_t bit(uint32_t number) {
  return uint64_t{1} << number;
}

long prctl(long option, long a = 0, long b = 0) {
  return raw::call(__NR_prctl, option, a, b, 0, 0);
}

// ---- labels ----

long open_attribute(int proc, steps::LabelKind kind) {
  if (kind == steps::LabelKind::kAppArmor) {
    const long fd =
        raw::openat(proc, "thread-self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    // kernels before 5.8, and those with AppArmor as the only such module, know attr/exec alone
    if (fd != -ENOENT) return fd;
  }
  return raw::openat(proc, "thread-self/attr/exec", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
}

// ---- seccomp ----

inline void relax() {
#if defined(__x86_64__)
  __asm__ volatile("pause");
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// About ten seconds of waiting for the parent to fetch the listener by pidfd_getfd(2). No clock may
// be asked, so the turns are counted.
constexpr uint32_t kTurns = 1U << 28U;

long hand_over_listener(steps::Context& context, int listener) {
  steps::Program& program = *context.program;
  // descriptor 0 cannot be: stdio is open
  __atomic_store_n(&program.notify_fd, listener, __ATOMIC_RELEASE);
  for (uint32_t turn = 0; turn < kTurns; ++turn) {
    if (__atomic_load_n(&program.notify_taken, __ATOMIC_ACQUIRE) != 0) return 0;
    relax();
  }
  context.say("nobody fetched the listener");
  return -ETIMEDOUT;
}

}  // namespace

long exec_label(steps::Context& context, const steps::ExecLabelArgs& args) {
  const long opened = steps::open_own_proc(context);
  if (opened < 0) return opened;
  const long fd = open_attribute(context.proc_fd, args.kind);
  if (fd < 0) return fd;
  const size_t bytes = raw::length(args.text);
  const long written = raw::write(static_cast<int>(fd), args.text, bytes);
  raw::close(static_cast<int>(fd));
  if (written < 0) return written;
  return static_cast<size_t>(written) == bytes ? 0 : -EIO;
}

long no_new_privs(steps::Context&) {
  return prctl(PR_SET_NO_NEW_PRIVS, 1);
}

long capability_bounds(steps::Context& context, const steps::CapabilitiesArgs& args) {
  for (uint32_t n = 0; n <= args.last; ++n) {
    if ((args.bounding & bit(n)) != 0) continue;
    // asked first: dropping what is gone already would still need CAP_SETPCAP
    if (prctl(PR_CAPBSET_READ, n) == 0) continue;
    const long result = prctl(PR_CAPBSET_DROP, n);
    if (result == -EPERM) context.say("the caller lacks CAP_SETPCAP");
    if (result < 0) return result;
  }
  return 0;
}

long read_capabilities(CapabilitySets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  const long result = raw::call(__NR_capget, raw::ptr(&header), raw::ptr(data));
  if (result < 0) return result;
  sets.effective = data[0].effective | static_cast<uint64_t>(data[1].effective) << 32U;
  sets.permitted = data[0].permitted | static_cast<uint64_t>(data[1].permitted) << 32U;
  sets.inheritable = data[0].inheritable | static_cast<uint64_t>(data[1].inheritable) << 32U;
  return 0;
}

long write_capabilities(const CapabilitySets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct data[2]{
      {static_cast<uint32_t>(sets.effective), static_cast<uint32_t>(sets.permitted),
       static_cast<uint32_t>(sets.inheritable)},
      {static_cast<uint32_t>(sets.effective >> 32U), static_cast<uint32_t>(sets.permitted >> 32U),
       static_cast<uint32_t>(sets.inheritable >> 32U)}};
  return raw::call(__NR_capset, raw::ptr(&header), raw::ptr(data));
}

long credentials(steps::Context&, const steps::CredentialsArgs& args) {
  // without it the change from root to another user empties the permitted set (capabilities(7))
  long result = prctl(PR_SET_KEEPCAPS, 1);
  if (result < 0) return result;
  if (args.set_groups) {
    // before gid and uid: needs CAP_SETGID; with an empty list it drops the caller's groups
    result = raw::call(__NR_setgroups, args.groups.count, raw::ptr(args.groups.data));
    if (result < 0) return result;
  }
  // gid before uid: afterwards the effective set is empty
  result = raw::call(__NR_setresgid, args.gid, args.gid, args.gid);
  if (result < 0) return result;
  result = raw::call(__NR_setresuid, args.uid, args.uid, args.uid);
  if (result < 0) return result;
  result = prctl(PR_SET_KEEPCAPS, 0);
  if (result < 0) return result;
  // the change of user emptied the effective set; the final sets and the filter still need it
  CapabilitySets sets{};
  result = read_capabilities(sets);
  if (result < 0) return result;
  sets.effective = sets.permitted;
  return write_capabilities(sets);
}

long capabilities(steps::Context& context, const steps::CapabilitiesArgs& args) {
  CapabilitySets sets{};
  long result = read_capabilities(sets);
  if (result < 0) return result;
  if ((args.permitted & ~sets.permitted) != 0) {
    context.say("the process does not have all of these");
    return -EPERM;
  }
  // ambient capabilities that the caller had would survive below a user other than root
  result = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  if (result < 0) return result;
  if (args.ambient != 0) {
    // ambient must be inheritable and permitted when it is raised (capabilities(7))
    sets.inheritable = args.inheritable;
    result = write_capabilities(sets);
    if (result < 0) return result;
    for (uint32_t n = 0; n <= args.last; ++n) {
      if ((args.ambient & bit(n)) == 0) continue;
      result = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, n);
      if (result < 0) return result;
    }
  }
  return write_capabilities({args.effective, args.permitted, args.inheritable});
}

long seccomp(steps::Context& context, const steps::SeccompArgs& args) {
  const sock_fprog program{static_cast<unsigned short>(args.count),
                           static_cast<sock_filter*>(const_cast<void*>(args.filter))};
  const long result = raw::call(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
                                static_cast<long>(args.flags), raw::ptr(&program));
  if (result < 0 || (args.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) == 0) return result;
  return hand_over_listener(context, static_cast<int>(result));
}

}  // namespace vrun::process
