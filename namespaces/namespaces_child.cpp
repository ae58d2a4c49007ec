#include "namespaces/namespaces_child.hpp"

#include <linux/fcntl.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/sched.h>

namespace vrun::namespaces {
namespace {

constexpr long kEnosys = 38;
constexpr long kEperm = 1;
constexpr long kEinval = 22;

}  // namespace

long join_namespace(steps::Context& context, const steps::JoinNamespaceArgs& args) {
  const long result = raw::call(__NR_setns, args.fd, static_cast<long>(args.type));
  raw::close(args.fd);
  if (result < 0 || (args.type & CLONE_NEWNS) == 0) return result;
  // setns(2) has moved our root and working directory to the root of that mount namespace.
  const long root = raw::openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return root;
  context.root_fd = static_cast<int>(root);
  return 0;
}

long unshare(steps::Context&, const steps::UnshareArgs& args) {
  return raw::call(__NR_unshare, static_cast<long>(args.flags));
}

long respawn(steps::Context& context, const steps::RespawnArgs& args) {
  int pidfd = -1;
  struct clone_args clone;
  __builtin_memset(&clone, 0, sizeof clone);
  // CLONE_PARENT: the new process is a child of vrun, as we are, with our exit signal (clone(2): it
  // must be 0 here).
  clone.flags = args.flags | CLONE_PARENT | CLONE_PIDFD;
  clone.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  const long pid = raw::call(__NR_clone3, raw::ptr(&clone), sizeof clone);
  if (pid < 0) return pid;
  if (pid == 0) return 0;
  const long sent = steps::send_message(context, steps::MessageKind::kPidfd, 0, pidfd);
  raw::exit_group(sent < 0 ? 1 : 0);
}

long become_root(steps::Context&) {
  // After a join the groups are those of the caller; inside they mean nothing. EPERM: setgroups is
  // denied here.
  const long groups = raw::call(__NR_setgroups, 0, 0);
  if (groups < 0 && groups != -kEperm) return groups;
  const long gid = raw::call(__NR_setresgid, 0, 0, 0);
  if (gid < 0) return gid;
  const long uid = raw::call(__NR_setresuid, 0, 0, 0);
  if (uid < 0) return uid;
  return raw::call(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
}

long set_hostname(steps::Context&, const steps::TextArgs& args) {
  return raw::call(__NR_sethostname, raw::ptr(args.text),
                   static_cast<long>(raw::length(args.text)));
}

long set_domainname(steps::Context&, const steps::TextArgs& args) {
  return raw::call(__NR_setdomainname, raw::ptr(args.text),
                   static_cast<long>(raw::length(args.text)));
}

long new_session(steps::Context&) {
  const long result = raw::call(__NR_setsid);
  // Already the leader of a session: what was asked for.
  return result == -kEperm ? 0 : (result < 0 ? result : 0);
}

long join_session_keyring(steps::Context&, const steps::TextArgs& args) {
  const long ring = raw::call(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, raw::ptr(args.text));
  // A kernel without keyrings has none to leak. The name goes to the guest's log only.
  if (ring == -kEnosys) return 0;
  if (ring < 0) return ring;
  // Possessor and user: all; others: nothing, so that an exec into the container may use it (as
  // runc does: UID may search).
  constexpr long kPossessorAll = 0x3f000000;
  constexpr long kUserSearch = 0x00080000;
  const long permission =
      raw::call(__NR_keyctl, KEYCTL_SETPERM, ring, kPossessorAll | kUserSearch | 0x003f0000);
  return permission == -kEinval ? 0 : permission;
}

}  // namespace vrun::namespaces
