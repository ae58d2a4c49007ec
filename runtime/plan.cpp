#include "runtime/plan.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "namespaces/id_maps.hpp"
#include "oci/documents.hpp"
#include "oci/reader.hpp"
#include "oci/sysctl.hpp"
#include "process/plan.hpp"
#include "rootfs/plan.hpp"
#include "runtime/record.hpp"
#include "runtime/serve.hpp"

namespace vrun::runtime {
namespace {

using steps::Op;

Error missing_bundle(Error error) {
  if (error.sys_errno() != ENOENT) return error;
  return std::move(error).hint(
      "a bundle is a folder with config.json and a root file system; `spec` writes a config.json");
}

Result<void> check_privilege(const namespaces::Plan& namespaces, const Host& host) {
  if (!host.rootless() || namespaces.in_user_namespace()) return {};
  return Error(Code::kDenied,
               "config.json: linux.namespaces: without root a user namespace is needed")
      .hint("add {\"type\": \"user\"} with mappings; `spec --rootless` writes such a config.json");
}

// A namespace by path may be the one we are in: what is written there stays when the guest is gone.
Result<void> check_nothing_of_ours_changes(const oci::Spec& spec,
                                           const namespaces::Plan& namespaces) {
  const auto ours = [&](oci::NamespaceType type) {
    return (namespaces.ours & namespaces::flag_of(type)) != 0;
  };
  for (const auto& [name, value] : spec.linux.sysctl) {
    const auto type = oci::sysctl_namespace(oci::sysctl_path(name));
    if (!type || !ours(*type)) continue;
    return Error(Code::kDenied, "config.json: linux.sysctl: " + quote(name) +
                                    " is not allowed in the " + namespaces::config_name_of(*type) +
                                    " namespace of the host");
  }
  if (!ours(oci::NamespaceType::kUts)) return {};
  if (spec.hostname.empty() && spec.domainname.empty()) return {};
  return Error(Code::kDenied,
               "config.json: hostname: it would be set in the uts namespace of the host");
}

Result<void> check_namespaces(const oci::Spec& spec) {
  if (oci::find_namespace(spec.linux, oci::NamespaceType::kMount) != nullptr) return {};
  return Error(Code::kInvalid, "config.json: linux.namespaces: a mount namespace is needed")
      .hint("add {\"type\": \"mount\"}: the root file system cannot be made in the host's");
}

// A descriptor that the caller promised and did not open would be one of ours by now.
Result<void> check_preserved(unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    const int flags = ::fcntl(static_cast<int>(3 + i), F_GETFD);
    if (flags == 0) continue;
    return Error(Code::kInvalid, "--preserve-fds " + std::to_string(count) + ": descriptor " +
                                     std::to_string(3 + i) + " is not open");
  }
  return {};
}

bool has_inner_hooks(const oci::Hooks& hooks) {
  return !hooks.create_container.empty() || !hooks.start_container.empty();
}

void add_inner_hooks(const std::vector<oci::Hook>& hooks, const char* kind, int state_fd,
                     steps::Builder& builder) {
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    const oci::Hook& hook = hooks[i];
    const std::vector<std::string> argv =
        hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
    const std::int32_t timeout_ms = hook.timeout ? *hook.timeout * 1000 : -1;
    builder.add(Op::kHook,
                steps::HookArgs{builder.text(hook.path), builder.text_array(argv),
                                builder.text_array(hook.env), state_fd, timeout_ms},
                {"hooks." + std::string(kind) + "[" + std::to_string(i) + "]", ""});
  }
}

void ask(Ask what, const char* where, const char* words, steps::Builder& builder) {
  builder.add(Op::kAsk, steps::AskArgs{static_cast<std::uint32_t>(what), false}, {where, words});
}

// Namespaces, cgroup, session and names: what comes before the file tree.
Result<void> plan_isolation(const Input& input, const cgroups::Group& group, Plan& plan) {
  const oci::Spec& spec = input.spec;
  steps::Builder& builder = plan.builder;
  namespaces::Plan& ns = plan.namespaces;
  // A cgroup namespace shows the group that its maker is in: where the clone cannot land in the
  // group, it is made after the join.
  const bool late_cgroup = group.needs_join() && (ns.clone_flags & CLONE_NEWCGROUP) != 0;
  if (late_cgroup) ns.clone_flags &= ~static_cast<std::uint64_t>(CLONE_NEWCGROUP);
  if (group.needs_join()) ask(Ask::kJoinCgroup, "linux.cgroupsPath", "join the cgroup", builder);
  namespaces::add_steps(ns, builder, static_cast<std::uint32_t>(Ask::kIdMaps));
  if (late_cgroup)
    builder.add(Op::kUnshare, steps::UnshareArgs{CLONE_NEWCGROUP}, {"linux.namespaces", ""});
  if (!spec.linux.net_devices.empty())
    ask(Ask::kNetDevices, "linux.netDevices", "move the network devices", builder);

  builder.add(Op::kNewSession);
  if (!input.options.no_new_keyring) {
    builder.add(Op::kSessionKeyring, steps::TextArgs{builder.text("_ses." + input.id.str())});
  }
  if (!spec.hostname.empty())
    builder.add(Op::kHostname, steps::TextArgs{builder.text(spec.hostname)}, {"hostname", ""});
  if (!spec.domainname.empty()) {
    builder.add(Op::kDomainname, steps::TextArgs{builder.text(spec.domainname)},
                {"domainname", ""});
  }
  if (ns.makes(CLONE_NEWNET)) builder.add(Op::kLoopbackUp);
  return {};
}

Result<int> console_socket(const Input& input, steps::Builder& builder) {
  if (input.options.console_socket.empty()) return -1;
  Result<Fd> socket = sys::connect_stream(input.options.console_socket);
  if (!socket) return std::move(socket).error().at("--console-socket");
  return builder.inherit(*std::move(socket));
}

process::Options process_options(const Context& context, const Input& input, const Plan& plan) {
  process::Options options;
  options.filter = plan.filter ? &*plan.filter : nullptr;
  options.in_user_namespace = plan.namespaces.in_user_namespace();
  options.set_groups = !(plan.namespaces.new_user &&
                         namespaces::denies_setgroups(plan.namespaces.gid_mappings, context.host));
  options.preserve_fds = input.options.preserve_fds;
  options.handed = input.options.handed;
  const oci::Linux& config = input.spec.linux;
  options.memory_policy = config.memory_policy ? &*config.memory_policy : nullptr;
  options.personality = config.personality ? &*config.personality : nullptr;
  return options;
}

Result<void> plan_tree(const Context& context, const Input& input, const cgroups::Group& group,
                       Plan& plan) {
  const oci::Spec& spec = input.spec;
  steps::Builder& builder = plan.builder;
  rootfs::Options tree;
  tree.bundle = &input.bundle_dir;
  tree.bundle_path = input.bundle;
  tree.new_user_namespace = plan.namespaces.in_user_namespace();
  tree.parent_opens_sources = !context.host.rootless();
  tree.no_pivot = input.options.no_pivot;
  tree.console_socket = TRY(console_socket(input, builder));
  tree.cgroup = &group;
  tree.cgroup_namespace = plan.namespaces.makes(CLONE_NEWCGROUP);
  tree.overlay_root = input.options.overlay_root;
  TRY(rootfs::plan_mounts(spec, tree, context.host, builder));

  const oci::Hooks& hooks = spec.hooks;
  const bool outer = !hooks.prestart.empty() || !hooks.create_runtime.empty();
  if (outer || has_inner_hooks(hooks))
    ask(Ask::kHooks, "hooks", "run the hooks of the runtime", builder);
  add_inner_hooks(hooks.create_container, "createContainer", plan.hook_state_creating.get(),
                  builder);
  // Before the root may become read-only.
  process::plan_working_directory(*spec.process, process_options(context, input, plan), builder);
  return rootfs::plan_enter(spec, tree, context.host, builder);
}

Result<void> plan_process(const Context& context, const Input& input, Plan& plan) {
  const oci::Process& process = *input.spec.process;
  steps::Builder& builder = plan.builder;
  const process::Options options = process_options(context, input, plan);
  for (const int fd : input.options.handed)
    builder.inherit_borrowed(fd);
  if (!process.terminal) add_stdio(input.options.stdio, builder);
  const process::Grantable grantable =
      TRY(process::plan_before_gate(process, options, context.host, builder));
  builder.add(Op::kReady);
  if (plan.gate) builder.add(Op::kGate, steps::GateArgs{builder.inherit_borrowed(plan.gate.get())});
  add_inner_hooks(input.spec.hooks.start_container, "startContainer", plan.hook_state_created.get(),
                  builder);
  return process::plan_exec(process, options, grantable, builder);
}

}  // namespace

void add_stdio(const std::array<int, 3>& stdio, steps::Builder& builder) {
  std::array<int, 3> given{-1, -1, -1};
  bool any = false;
  for (std::size_t i = 0; i < stdio.size(); ++i) {
    if (stdio[i] < 0) continue;
    given[i] = builder.inherit_borrowed(stdio[i]);
    any = true;
  }
  if (any) builder.add(Op::kStdio, steps::StdioArgs{given[0], given[1], given[2]});
}

namespace {

Result<void> open_hook_states(const Input& input, Plan& plan) {
  if (!has_inner_hooks(input.spec.hooks)) return {};
  plan.hook_state_creating = TRY(sys::memfd("vrun-state"));
  plan.hook_state_created = TRY(sys::memfd("vrun-state"));
  plan.builder.inherit_borrowed(plan.hook_state_creating.get());
  plan.builder.inherit_borrowed(plan.hook_state_created.get());
  return {};
}

}  // namespace

Result<void> check_terminal(const Input& input) {
  const bool terminal = input.spec.process && input.spec.process->terminal;
  const bool has_socket = !input.options.console_socket.empty();
  if (terminal && !has_socket && !input.foreground) {
    return Error(Code::kInvalid,
                 "cannot allocate tty if vrun will detach without setting console socket")
        .at("process.terminal")
        .hint("give --console-socket, or run in the foreground");
  }
  if (has_socket && (!terminal || input.foreground)) {
    return Error(Code::kInvalid,
                 "cannot use console socket if vrun will not detach or allocate tty");
  }
  return {};
}

Result<Input> read_input(const CreateOptions& options) {
  Input input{TRY(ContainerId::parse(options.id)), {}, {}, {}, {}, options};
  Result<Fd> bundle = sys::open_dir(At::cwd(), options.bundle);
  if (!bundle) return missing_bundle(std::move(bundle).error().during("bundle"));
  input.bundle_dir = *std::move(bundle);
  input.bundle =
      TRY(sys::read_link(At::cwd(), "/proc/self/fd/" + std::to_string(input.bundle_dir.get())));
  if (options.spec != nullptr) {
    input.spec = *options.spec;
    input.config_text = oci::to_json(input.spec, false);
  } else {
    Result<std::string> text = fs::read_file(input.bundle_dir, "config.json", oci::kMaxConfigBytes,
                                             fs::Kind::kRegularOnly);
    if (!text)
      return missing_bundle(std::move(text).error().during("JSON specification file config.json"));
    input.config_text = *std::move(text);
    input.spec = TRY(oci::parse_spec(input.config_text, "config.json"));
  }
  TRY(oci::check(input.spec));
  if (options.listen_fds > 0 && input.spec.process) {  // sd_listen_fds(3)
    input.spec.process->env.push_back("LISTEN_FDS=" + std::to_string(options.listen_fds));
    input.spec.process->env.push_back("LISTEN_PID=1");
  }
  return input;
}

Result<std::unique_ptr<cgroups::Group>> plan_group(const Context& context, const Input& input) {
  return cgroups::plan(
      {.cgroups_path = input.spec.linux.cgroups_path,
       .id = input.id,
       .systemd = context.systemd_cgroup,
       .rootless = context.rootless_cgroups(),
       .annotations = input.spec.annotations,
       .resources = input.spec.linux.resources ? &*input.spec.linux.resources : nullptr,
       .below = context.parent_group ? &*context.parent_group : nullptr},
      context.host);
}

Result<Plan> make_plan(const Context& context, const Input& input, const cgroups::Group& group,
                       const Fd* gate_dir) {
  if (!input.spec.process) return Error(Code::kInvalid, "config.json: process is missing");
  TRY(check_namespaces(input.spec));
  TRY(check_terminal(input));
  TRY(check_preserved(input.options.preserve_fds));

  Plan plan{TRY(steps::Builder::create()),
            TRY(namespaces::plan(input.spec.linux, context.host)),
            {},
            {},
            {},
            {}};
  TRY(check_privilege(plan.namespaces, context.host));
  TRY(check_nothing_of_ours_changes(input.spec, plan.namespaces));
  if (input.spec.linux.seccomp)
    plan.filter = TRY(seccomp::compile(*input.spec.linux.seccomp, context.host));
  if (input.gate && gate_dir != nullptr) plan.gate = TRY(sys::listen_packets(*gate_dir, kGateName));

  TRY(open_hook_states(input, plan));
  TRY(plan_isolation(input, group, plan));
  TRY(plan_tree(context, input, group, plan));
  TRY(plan_process(context, input, plan));
  if (plan.builder.finish() == nullptr)
    return Error(Code::kInvalid, "config.json: too much for one container");
  return plan;
}

std::vector<oci::DeviceRule> device_rules(const oci::Spec& spec) {
  std::vector<oci::DeviceRule> rules;
  if (spec.linux.resources) rules = spec.linux.resources->devices;
  const std::vector<oci::DeviceRule> usual = cgroups::default_devices();
  rules.insert(rules.end(), usual.begin(), usual.end());
  return rules;
}

}  // namespace vrun::runtime
