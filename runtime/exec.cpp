#include <algorithm>

#include <linux/sched.h>

#include "base/capability.hpp"
#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "process/plan.hpp"
#include "runtime/container.hpp"
#include "runtime/foreground.hpp"
#include "runtime/launch.hpp"
#include "runtime/listener.hpp"
#include "runtime/plan.hpp"
#include "runtime/record.hpp"
#include "seccomp/seccomp.hpp"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace vrun::runtime {
namespace {

using steps::Op;

struct Target {
  Folder folder;
  Record record;
  Info info;
  oci::Spec spec;
  Fd init;  // pidfd
};

Error not_possible(const std::string& id, Status status) {
  if (status == Status::kStopped)
    return Error(Code::kState, "cannot exec in a stopped container: not running").at(id);
  if (status == Status::kPaused) {
    return Error(Code::kState,
                 "cannot exec in a paused container (use --ignore-paused to override)")
        .at(id);
  }
  return Error(Code::kState, "cannot exec in a container that is " + std::string(to_text(status)))
      .at(id);
}

Result<Target> open_target(const Context& context, const ExecOptions& options) {
  Folder folder = TRY(Folder::open(context.root, options.id, Folder::Lock::kNone));
  Folder::Loaded loaded = TRY(folder.load());
  Info info = TRY(read_info(folder, loaded, context.host));
  const bool good = info.status == Status::kRunning || info.status == Status::kCreated ||
                    (info.status == Status::kPaused && options.ignore_paused);
  if (!good) return not_possible(options.id, info.status);
  std::optional<Fd> init = open_marked(loaded.record.process);
  if (!init) return not_possible(options.id, Status::kStopped);
  oci::Spec spec = TRY(folder.load_config());
  return Target{std::move(folder), std::move(loaded.record), std::move(info), std::move(spec),
                *std::move(init)};
}

void add_capabilities(oci::Process& process, const std::vector<std::string>& names) {
  if (names.empty()) return;
  if (!process.capabilities) process.capabilities.emplace();
  // Never inheritable or ambient: a capability must not survive into programs that were not meant
  // (CVE-2022-29162).
  for (auto* set : {&process.capabilities->bounding, &process.capabilities->effective,
                    &process.capabilities->permitted}) {
    for (const std::string& name : names) {
      if (std::find(set->begin(), set->end(), name) == set->end()) set->push_back(name);
    }
  }
}

// The process of the snapshot made at create, with what the caller changes. With --process the file
// says what runs, but never less confinement than the snapshot has.
oci::Process make_process(const Target& target, const ExecOptions& options) {
  oci::Process process = options.process ? *options.process : *target.spec.process;
  if (!options.args.empty()) process.args = options.args;
  if (!options.process) {
    process.terminal = options.terminal;
    process.console_size = options.console_size;
  } else if (options.terminal) {
    process.terminal = true;
  }
  if (!options.cwd.empty()) process.cwd = options.cwd;
  process.user.uid = options.uid.value_or(process.user.uid);
  process.user.gid = options.gid.value_or(process.user.gid);
  process.user.additional_gids.insert(process.user.additional_gids.end(),
                                      options.additional_gids.begin(),
                                      options.additional_gids.end());
  process.env.insert(process.env.end(), options.env.begin(), options.env.end());
  if (!options.apparmor.empty()) process.apparmor_profile = options.apparmor;
  if (!options.process_label.empty()) process.selinux_label = options.process_label;
  if (process.apparmor_profile.empty())
    process.apparmor_profile = target.spec.process->apparmor_profile;
  if (process.selinux_label.empty()) process.selinux_label = target.spec.process->selinux_label;
  process.no_new_privileges |= options.no_new_privs;
  add_capabilities(process, options.capabilities);
  return process;
}

// The namespaces that the container has for itself or joined: all that differ from the host's.
std::uint64_t namespaces_of(const oci::Spec& spec) {
  std::uint64_t flags = 0;
  for (const oci::Namespace& ns : spec.linux.namespaces)
    flags |= namespaces::flag_of(ns.type);
  return flags;
}

bool is_our_user_namespace(Pid init) {
  const Result<struct stat> theirs =
      sys::stat(At::cwd(), "/proc/" + std::to_string(init.value) + "/ns/user");
  const Result<struct stat> ours = sys::stat(At::cwd(), "/proc/self/ns/user");
  return theirs && ours && theirs->st_ino == ours->st_ino;
}

Result<int> console_socket(const ExecOptions& options, bool terminal, steps::Builder& builder) {
  if (!terminal && !options.console_socket.empty()) {
    return Error(Code::kInvalid,
                 "cannot use console socket if vrun will not detach or allocate tty");
  }
  if (terminal && options.detach && options.console_socket.empty() && options.console == nullptr) {
    return Error(Code::kInvalid,
                 "cannot allocate tty if vrun will detach without setting console socket");
  }
  if (options.console_socket.empty()) return -1;
  return builder.inherit(TRY(sys::connect_stream(options.console_socket)));
}

// user_namespaces(7): /proc/PID/setgroups says whether the call is allowed in there.
bool may_set_groups(Pid init) {
  const Result<std::string> text =
      fs::read_file(At::cwd(), "/proc/" + std::to_string(init.value) + "/setgroups", 64);
  return !text || trim(*text) != "deny";
}

struct ExecPlan {
  steps::Builder builder;
  namespaces::Plan namespaces;
  std::optional<seccomp::Filter> filter;
  oci::Process process;
};

// With privilege, which going back takes as well, the parent joins the pid namespace before the
// clone and the stage joins the rest by one setns of the pidfd. Without, the stage joins the user
// namespace first and needs another process for the pid namespace.
Result<void> plan_joins(const Context& context, const Target& target, ExecPlan& plan) {
  std::uint64_t flags = namespaces_of(target.spec);
  if (is_our_user_namespace(target.info.pid)) flags &= ~static_cast<std::uint64_t>(CLONE_NEWUSER);
  const bool user = (flags & CLONE_NEWUSER) != 0;
  const bool restorable = !context.host.rootless() && !context.host.nested();
  const bool by_parent = (flags & CLONE_NEWPID) != 0 && restorable;
  if (by_parent) {
    flags &= ~static_cast<std::uint64_t>(CLONE_NEWPID);
    plan.namespaces.parent_joins.push_back(
        {CLONE_NEWPID, TRY(sys::duplicate(target.init.get())), "linux.namespaces"});
  }
  plan.namespaces.joined_user = user;
  plan.namespaces.respawn = (flags & CLONE_NEWPID) != 0;
  Fd init = TRY(sys::duplicate(target.init.get()));
  plan.builder.add(Op::kJoinNamespace,
                   steps::JoinNamespaceArgs{plan.builder.inherit(std::move(init)), flags},
                   {"linux.namespaces", ""});
  if (user) plan.builder.add(Op::kBecomeRoot);
  if (plan.namespaces.respawn) plan.builder.add(Op::kRespawn, steps::RespawnArgs{0});
  return {};
}

Result<void> plan_process(const Context& context, const Target& target, const ExecOptions& options,
                          ExecPlan& plan) {
  process::Options process;
  process.filter = plan.filter ? &*plan.filter : nullptr;
  process.preserve_fds = options.preserve_fds;
  process.exec = true;
  process.in_user_namespace = plan.namespaces.joined_user;
  process.set_groups = may_set_groups(target.info.pid);
  process.memory_policy =
      target.spec.linux.memory_policy ? &*target.spec.linux.memory_policy : nullptr;
  process.personality = target.spec.linux.personality ? &*target.spec.linux.personality : nullptr;
  const process::Grantable grantable =
      TRY(process::plan_before_gate(plan.process, process, context.host, plan.builder));
  plan.builder.add(Op::kReady);
  return process::plan_exec(plan.process, process, grantable, plan.builder);
}

Result<ExecPlan> make_plan(const Context& context, const Target& target,
                           const ExecOptions& options) {
  ExecPlan plan{TRY(steps::Builder::create()), {}, {}, make_process(target, options)};
  if (plan.process.args.empty()) return Error(Code::kInvalid, "process args cannot be empty");
  if (target.spec.linux.seccomp)
    plan.filter = TRY(seccomp::compile(*target.spec.linux.seccomp, context.host));
  TRY(plan_joins(context, target, plan));
  plan.builder.add(Op::kNewSession);
  plan.builder.add(Op::kSessionKeyring,
                   steps::TextArgs{plan.builder.text("_ses." + target.record.id)});
  if (plan.process.terminal) {
    const int socket = TRY(console_socket(options, true, plan.builder));
    const oci::ConsoleSize size =
        plan.process.console_size.value_or(options.detach ? oci::ConsoleSize{} : terminal_size());
    plan.builder.add(Op::kConsole,
                     steps::ConsoleArgs{socket, size.height, size.width, false,
                                        plan.process.user.uid.value, plan.process.user.gid.value},
                     {"process.terminal", ""});
  } else {
    TRY(console_socket(options, false, plan.builder));
    add_stdio(options.stdio, plan.builder);
  }
  TRY(plan_process(context, target, options, plan));
  if (plan.builder.finish() == nullptr)
    return Error(Code::kInvalid, "too many arguments for one process");
  return plan;
}

Result<Launched> launch_in(const cgroups::Group& group, ExecPlan& plan) {
  return launch({&plan.builder, &plan.namespaces, group.clone_target(), &plan.process.args});
}

struct Born {
  std::unique_ptr<cgroups::Group> group;
  Launched launched;
};

Result<void> check_sub_group(const cgroups::Location& group) {
  for (const auto& [hierarchy, path] : group.paths) {
    Result<struct stat> there = sys::stat(At::cwd(), path);
    if (!there) return std::move(there).error().at("--cgroup");
  }
  return {};
}

// In the container's cgroup, or in --cgroup below it. An init that has moved itself and made
// sub-groups (systemd does) leaves a group that takes no processes (cgroups(7), no internal
// processes): then beside the init.
Result<Born> launch_in_cgroup(const Context& context, const Target& target,
                              const ExecOptions& options, ExecPlan& plan) {
  const cgroups::Location& own = target.record.cgroup;
  const bool below = !options.cgroup.empty() && options.cgroup != "/";
  const cgroups::Location wanted = below ? cgroups::sub_group(own, options.cgroup) : own;
  if (below) TRY(check_sub_group(wanted));
  std::unique_ptr<cgroups::Group> group = TRY(cgroups::open(wanted, context.host));
  Result<Launched> launched = launch_in(*group, plan);
  if (!launched && !below && launched.error().sys_errno() == EBUSY) {
    group = TRY(cgroups::group_of(target.info.pid, context.host));
    Launched beside = TRY(launch_in(*group, plan));
    return Born{std::move(group), std::move(beside)};
  }
  if (!launched) return std::move(launched).error();
  return Born{std::move(group), *std::move(launched)};
}

Result<Launched> launch_process(const Context& context, const Target& target,
                                const ExecOptions& options, ExecPlan& plan) {
  TRY(process::raise_hard_limits(plan.process, "process"));
  auto [group, launched] = TRY(launch_in_cgroup(context, target, options, plan));
  if (group->needs_join()) TRY(group->join(launched.pid()));
  if (plan.process.oom_score_adj) {
    const bool had = TRY(sys::set_capability(CAP_SYS_RESOURCE, true));  // as in create.cpp
    Result<void> written = fs::write_value(
        At::cwd(), "/proc/" + std::to_string(launched.pid().value) + "/oom_score_adj",
        std::to_string(*plan.process.oom_score_adj));
    if (!had) TRY(sys::set_capability(CAP_SYS_RESOURCE, false));
    if (!written) return std::move(written).error();
  }
  return std::move(launched);
}

Result<void> bring_up(const Target& target, const ExecOptions& options, Launched& launched,
                      const ExecPlan& plan) {
  std::optional<ListenerRequest> listener;
  if (plan.filter && plan.filter->notifies) {
    const oci::Seccomp& seccomp = *target.spec.linux.seccomp;
    listener =
        ListenerRequest{seccomp.listener_path, seccomp.listener_metadata, to_state(target.info)};
    launched.serving().listener = &*listener;
  }
  TRY(serve_until_ready(launched.serving()));
  TRY(write_pid_file(options.pid_file, launched.pid()));
  TRY(send_pidfd(options.pidfd_socket, launched.pidfd()));
  TRY(let_go(launched.serving()));
  return serve_until_exec(launched.serving());
}

}  // namespace

Result<int> exec(const Context& context, const ExecOptions& options) {
  const Target target = TRY(open_target(context, options));
  ExecPlan plan = TRY(make_plan(context, target, options));
  TRY(process::set_initial_affinity(plan.process, "process"));
  std::optional<Foreground> foreground;
  if (!options.detach) foreground.emplace(TRY(Foreground::create()));
  Launched launched = TRY(launch_process(context, target, options, plan));
  TRY(bring_up(target, options, launched, plan));
  Fd console = std::move(launched.serving().console);
  sys::Child child = launched.release();
  if (options.detach) {
    if (options.console != nullptr) *options.console = std::move(console);
    if (options.child != nullptr) *options.child = std::move(child);
    return 0;
  }
  return TRY(foreground->wait(child.pidfd.get(), std::move(console))).code();
}

}  // namespace vrun::runtime
