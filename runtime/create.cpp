#include <algorithm>
#include <ctime>

#include <fcntl.h>

#include "base/capability.hpp"
#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/sys.hpp"
#include "cgroups/intel_rdt.hpp"
#include "namespaces/id_maps.hpp"
#include "network/devices.hpp"
#include "oci/documents.hpp"
#include "process/plan.hpp"
#include "runtime/container.hpp"
#include "runtime/creation.hpp"
#include "runtime/hooks.hpp"
#include "runtime/launch.hpp"
#include "runtime/plan.hpp"
#include "runtime/record.hpp"

namespace vrun::runtime {
namespace {

Result<void> fill_hook_states(const Plan& plan, const Record& record, Pid pid) {
  if (!plan.hook_state_creating) return {};
  TRY(sys::write_all(plan.hook_state_creating.get(),
                     oci::to_json(state_of(record, pid, "creating"), false)));
  return sys::write_all(plan.hook_state_created.get(),
                        oci::to_json(state_of(record, pid, "created"), false));
}

Result<void> set_oom_score(const oci::Spec& spec, Pid pid) {
  if (!spec.process->oom_score_adj) return {};
  // By the parent: inside a user namespace the right to lower it is gone.
  // Put aside by who works for a tenant with a disk budget.
  const bool had = TRY(sys::set_capability(CAP_SYS_RESOURCE, true));
  Result<void> written =
      fs::write_value(At::cwd(), "/proc/" + std::to_string(pid.value) + "/oom_score_adj",
                      std::to_string(*spec.process->oom_score_adj));
  if (!had) TRY(sys::set_capability(CAP_SYS_RESOURCE, false));
  if (!written) return std::move(written).error().at("process.oomScoreAdj");
  return {};
}

// Whose the group is to be, by the specification's "cgroup ownership": that of the process's user,
// when it sees its own group only and may write there. A mount of type "cgroup" is that where it is
// one tree; "cgroup2" always.
std::optional<Uid> group_owner(const oci::Spec& spec, const cgroups::Group& group) {
  const oci::Namespace* own = oci::find_namespace(spec.linux, oci::NamespaceType::kCgroup);
  if (own == nullptr || !own->path.empty() || spec.linux.uid_mappings.empty()) return std::nullopt;
  const auto parts = group.mount_parts();
  const bool one_tree = parts.size() == 1 && parts.front().name.empty();
  const auto writable = [&](const oci::Mount& mount) {
    const auto& options = mount.options;
    return (mount.type == "cgroup2" || (mount.type == "cgroup" && one_tree)) &&
           std::find(options.begin(), options.end(), "ro") == options.end();
  };
  if (std::none_of(spec.mounts.begin(), spec.mounts.end(), writable)) return std::nullopt;
  for (const oci::IdMapping& map : spec.linux.uid_mappings) {
    const std::uint32_t uid = spec.process->user.uid.value;
    if (uid >= map.container_id && uid - map.container_id < map.size)
      return Uid(map.host_id + (uid - map.container_id));
  }
  return std::nullopt;
}

Result<std::vector<Fd>> lower(const Context& context, const Fd& folder, Input& input) {
  if (!context.lower || input.options.spec != nullptr) return std::vector<Fd>();
  std::vector<Fd> files = TRY(context.lower(folder, input.spec));
  for (const Fd& file : files)
    input.options.handed.push_back(file.get());
  return files;
}

}  // namespace

Record new_record(const Context& context, const Input& input, const cgroups::Group& group) {
  Record record;
  record.id = input.id.str();
  record.bundle = input.bundle;
  const std::string& root = input.spec.root.path;
  record.rootfs = root.starts_with('/') ? root : fs::join(input.bundle, root);
  record.created = now_text();
  record.cgroup = group.location();
  record.rootless = context.host.rootless();
  record.owner = context.host.euid.value;
  record.annotations = input.spec.annotations;
  return record;
}

oci::State state_of(const Record& record, Pid pid, const char* status) {
  oci::State state;
  state.id = record.id;
  state.status = status;
  state.pid = pid.value;
  state.bundle = record.bundle;
  state.annotations = record.annotations;
  return state;
}

Result<void> make_recorded_group(const Fd& folder, const Record& record, cgroups::Group& group) {
  TRY(write_intent(folder, record));
  TRY(group.create());  // undoes itself when it stops half way
  Result<void> marked = mark_group_made(folder);
  if (!marked) static_cast<void>(group.destroy());
  return marked;
}

Result<void> set_limits(const oci::Spec& spec, cgroups::Group& group) {
  if (spec.linux.resources) TRY(group.set(*spec.linux.resources));
  TRY(group.set_devices(device_rules(spec)));
  const auto owner = group_owner(spec, group);
  return owner ? group.delegate(*owner) : Result<void>();
}

Result<void> join_intel_rdt(const Input& input, const Host& host, Pid pid,
                            std::optional<cgroups::IntelRdt>& rdt, Record& record) {
  if (!input.spec.linux.intel_rdt) return {};
  rdt.emplace(TRY(cgroups::IntelRdt::plan(*input.spec.linux.intel_rdt, input.id, host)));
  TRY(rdt->create());
  record.closid = rdt->closid();
  record.own_closid = rdt->is_ours();
  return rdt->join(pid);
}

Creation::Creation(const Context& context, Input input, NewFolder folder,
                   std::unique_ptr<cgroups::Group> group, Record record)
    : context_(context),
      input_(std::move(input)),
      folder_(std::move(folder)),
      group_(std::move(group)),
      record_(std::move(record)) {}

Creation::~Creation() {
  if (committed_) return;
  launched_.reset();  // first the process, then what it lived in
  if (hooks_began_) run_poststop_hooks(spec().hooks, state_of(record_, Pid(0), "stopped"));
  if (rdt_) static_cast<void>(rdt_->destroy());
  if (group_made_) static_cast<void>(group_->destroy());
}

Result<std::unique_ptr<Creation>> Creation::begin(const Context& context, Input input) {
  NewFolder folder = TRY(NewFolder::create(context.root, input.id));
  const std::vector<Fd> lowered = TRY(lower(context, folder.dir(), input));
  std::unique_ptr<cgroups::Group> group = TRY(plan_group(context, input));
  Record record = new_record(context, input, *group);
  std::unique_ptr<Creation> creation(new Creation(context, std::move(input), std::move(folder),
                                                  std::move(group), std::move(record)));
  TRY(creation->make_group());
  TRY(creation->make_process());
  return creation;
}

Result<void> Creation::make_group() {
  TRY(make_recorded_group(folder_.dir(), record_, *group_));
  group_made_ = true;
  return {};
}

Result<void> Creation::make_process() {
  plan_.emplace(TRY(make_plan(context_, input_, *group_, &folder_.dir())));
  TRY(process::raise_hard_limits(*spec().process, "process"));
  LaunchRequest request{&plan_->builder, &plan_->namespaces, group_->clone_target(),
                        &input_.spec.process->args};
  launched_.emplace(TRY(launch(request)));
  Serving& serving = launched_->serving();
  serving.on_ask = [this](Ask what) { return answer(what); };
  if (input_.spec.linux.seccomp && plan_->filter && plan_->filter->notifies) {
    const oci::Seccomp& seccomp = *input_.spec.linux.seccomp;
    listener_ = ListenerRequest{seccomp.listener_path, seccomp.listener_metadata,
                                state_of(record_, launched_->pid(), "creating")};
    serving.listener = &*listener_;
  }
  // While the stage makes the file tree, beside it: limits, records.
  TRY(configure());
  Result<void> ready = serve_until_ready(serving);
  return ready ? std::move(ready) : explain(std::move(ready).error());
}

// A stage that dies of its own memory limit cannot say so.
Error Creation::explain(Error error) const {
  const auto& resources = spec().linux.resources;
  if (!resources || !resources->memory || !resources->memory->limit) return error;
  const Result<cgroups::Stats> stats = group_->stats();
  if (!stats || !stats->memory || stats->memory->oom_kills == 0) return error;
  return Error(Code::kInvalid, "out of memory while the container was made: the limit of " +
                                   std::to_string(*resources->memory->limit) + " bytes is too low")
      .at("linux.resources.memory.limit")
      .hint("the runtime itself needs about 1 MiB in there");
}

Result<void> Creation::configure() {
  const Pid pid = launched_->pid();
  const oci::Spec& spec = input_.spec;
  TRY(set_oom_score(spec, pid));
  TRY(fill_hook_states(*plan_, record_, pid));
  TRY(set_limits(spec, *group_));
  TRY(join_intel_rdt(input_, context_.host, pid, rdt_, record_));
  return write_config(folder_.dir(), input_.config_text);
}

Result<void> Creation::answer(Ask what) {
  const Pid pid = launched_->pid();
  switch (what) {
    case Ask::kJoinCgroup:
      return group_->join(pid);
    case Ask::kIdMaps:
      return namespaces::write_id_maps(pid, plan_->namespaces.uid_mappings,
                                       plan_->namespaces.gid_mappings, context_.host);
    case Ask::kNetDevices: {
      const Fd netns =
          TRY(sys::open(At::cwd(), "/proc/" + std::to_string(pid.value) + "/ns/net", O_RDONLY));
      return network::move_devices(spec().linux.net_devices, netns.get());
    }
    case Ask::kHooks: {
      hooks_began_ = true;
      const oci::State state = state_of(record_, pid, "creating");
      TRY(run_hooks(spec().hooks.prestart, state, "prestart", launched_->pidfd()));
      return run_hooks(spec().hooks.create_runtime, state, "createRuntime", launched_->pidfd());
    }
    case Ask::kCount:
      break;
  }
  return Error(Code::kInternal, "the container stage asked for something unknown");
}

Result<void> Creation::publish() {
  const Pid pid = launched_->pid();
  std::optional<ProcessMark> process = mark_process(pid);
  if (!process) return Error(Code::kSystem, "the container process ended while it was made");
  record_.process = *std::move(process);
  record_.cgroup = group_->location();  // only now final: systemd chooses, rootless may do without
  TRY(prepare_state(folder_.dir(), record_));
  TRY(write_pid_file(input_.options.pid_file, pid));
  TRY(send_pidfd(input_.options.pidfd_socket, launched_->pidfd()));
  return publish_state(folder_.dir());
}

sys::Child Creation::commit() {
  committed_ = true;
  folder_.commit();
  folder_.unlock();
  return launched_->release();
}

Result<void> create(const Context& context, const CreateOptions& options) {
  Input input = TRY(read_input(options));
  std::unique_ptr<Creation> creation = TRY(Creation::begin(context, std::move(input)));
  TRY(creation->publish());
  TRY(let_go(creation->serving()));
  static_cast<void>(creation->commit());
  return {};
}

Result<std::string> plan_text(const Context& context, const CreateOptions& options) {
  Input input = TRY(read_input(options));
  // Where the terminal will be is not part of the plan.
  input.foreground = input.spec.process && input.spec.process->terminal;
  const std::unique_ptr<cgroups::Group> group = TRY(plan_group(context, input));
  const Plan plan = TRY(make_plan(context, input, *group, nullptr));
  return plan.builder.dump();
}

}  // namespace vrun::runtime
