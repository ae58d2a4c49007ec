// The switch from an op to what does it.
#include <linux/seccomp.h>

#include "namespaces/namespaces_child.hpp"
#include "network/loopback_child.hpp"
#include "process/credentials_child.hpp"
#include "process/exec_child.hpp"
#include "process/limits_child.hpp"
#include "rootfs/rootfs_child.hpp"
#include "runtime/gate_child.hpp"

namespace vrun::runtime {
namespace {

using steps::Context;
using steps::MessageKind;
using steps::Op;

constexpr long kEnosys = 38;

// Arguments of the step as the type that the called function takes.
class Args {
 public:
  explicit Args(const void* args) : args_(args) {}
  template <typename T>
  operator const T&() const {  // NOLINT(google-explicit-constructor)
    return *static_cast<const T*>(args_);
  }

 private:
  const void* args_;
};

// Said before the filter is loaded: after it no system call of ours may be needed (see
// runtime/listener.hpp).
long load_filter(Context& context, const steps::SeccompArgs& args) {
  if ((args.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0) {
    const long sent =
        steps::send_message(context, MessageKind::kListener, 0, context.program->block_fd);
    if (sent < 0) return sent;
  }
  const long sent = steps::send_message(context, MessageKind::kExec, 0);
  context.exec_announced = true;
  return sent < 0 ? sent : process::seccomp(context, args);
}

long execute(Context& context, const steps::ExecArgs& args) {
  if (!context.exec_announced) {
    const long sent = steps::send_message(context, MessageKind::kExec, 0);
    if (sent < 0) return sent;
  }
  return process::exec(context, args);
}

}  // namespace

long perform(Context& context, const steps::Step& step) {
  const Args args(step.args);
  switch (step.op) {
    case Op::kEnd:
      return 0;
    case Op::kAsk:
      return ask(context);
    case Op::kReady:
      return ready(context);
    case Op::kGate:
      return gate(context, args);
    case Op::kJoinNamespace:
      return namespaces::join_namespace(context, args);
    case Op::kUnshare:
      return namespaces::unshare(context, args);
    case Op::kRespawn:
      return namespaces::respawn(context, args);
    case Op::kBecomeRoot:
      return namespaces::become_root(context);
    case Op::kHostname:
      return namespaces::set_hostname(context, args);
    case Op::kDomainname:
      return namespaces::set_domainname(context, args);
    case Op::kLoopbackUp:
      return network::loopback_up(context);
    case Op::kNewSession:
      return namespaces::new_session(context);
    case Op::kSessionKeyring:
      return namespaces::join_session_keyring(context, args);
    case Op::kRoot:
      return rootfs::root(context, args);
    case Op::kMount:
      return rootfs::mount(context, args);
    case Op::kCopyUp:
      return rootfs::copy_up(context, args);
    case Op::kMakeSymlink:
      return rootfs::make_symlink(context, args);
    case Op::kDevice:
      return rootfs::device(context, args);
    case Op::kConsole:
      return rootfs::console(context, args);
    case Op::kPivot:
      return rootfs::pivot(context, args);
    case Op::kRootAttributes:
      return rootfs::root_attributes(context, args);
    case Op::kMaskPath:
      return rootfs::mask_path(context, args);
    case Op::kReadonlyPath:
      return rootfs::readonly_path(context, args);
    case Op::kSysctl:
      return rootfs::sysctl(context, args);
    case Op::kHook:
      return run_hook(context, args);
    case Op::kStdio:
      return process::stdio(context, args);
    case Op::kRlimits:
      return process::rlimits(context, args);
    case Op::kScheduler:
      return process::scheduler(context, args);
    case Op::kIoPriority:
      return process::io_priority(context, args);
    case Op::kAffinity:
      return process::affinity(context, args);
    case Op::kMemoryPolicy:
      return process::memory_policy(context, args);
    case Op::kPersonality:
      return process::personality(context, args);
    case Op::kUmask:
      return process::umask(context, args);
    case Op::kMakeCwd:
      return process::make_cwd(context, args);
    case Op::kChdir:
      return process::chdir(context, args);
    case Op::kHome:
      return process::home(context, args);
    case Op::kExecLabel:
      return process::exec_label(context, args);
    case Op::kNoNewPrivs:
      return process::no_new_privs(context);
    case Op::kCapabilityBounds:
      return process::capability_bounds(context, args);
    case Op::kCredentials:
      return process::credentials(context, args);
    case Op::kCapabilities:
      return process::capabilities(context, args);
    case Op::kSeccomp:
      return load_filter(context, args);
    case Op::kFindProgram:
      return process::find_program(context, args);
    case Op::kResetSignals:
      return process::reset_signals(context);
    case Op::kCloseDescriptors:
      return process::close_descriptors(context, args);
    case Op::kExec:
      return execute(context, args);
    default:
      return -kEnosys;
  }
}

}  // namespace vrun::runtime
