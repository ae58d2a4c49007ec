#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "cgroups/intel_rdt.hpp"
#include "network/loopback_child.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/creation.hpp"
#include "runtime/criu_call.hpp"
#include "runtime/foreground.hpp"
#include "runtime/hooks.hpp"
#include "runtime/outside.hpp"
#include "runtime/plan.hpp"
#include "runtime/record.hpp"
#include "runtime/removal.hpp"

namespace vrun::runtime {
namespace {

constexpr const char* kLogName = "restore.log";
constexpr const char* kDescriptorsName = "descriptors.json";
constexpr std::size_t kMaxDescriptorsBytes = 64U << 10U;

// Beside the images: what the process had as stdin, stdout and stderr.
Result<std::vector<std::string>> read_descriptors(const CriuFolders& folders) {
  Result<std::string> text =
      fs::read_file(folders.images, kDescriptorsName, kMaxDescriptorsBytes, fs::Kind::kRegularOnly);
  if (!text) {
    return std::move(text)
        .error()
        .at("--image-path")
        .hint("it has to be the folder that a checkpoint was written to");
  }
  const json::Document document = TRY(json::Document::parse(*text, kDescriptorsName));
  json::Faults faults(kDescriptorsName);
  const json::In root(document.root(), faults);
  std::vector<std::string> stdio;
  if (root.expect(json::Kind::kArray)) {
    for (std::size_t i = 0; i < document.root().elements().size(); ++i) {
      const json::Value& element = document.root().elements()[i];
      if (json::In(root, i, element).expect(json::Kind::kString))
        stdio.emplace_back(element.as_text());
    }
  }
  TRY(faults.result());
  return stdio;
}

// The processes read images themselves, in a user namespace without the right to search our folder:
// the group of the guest's root gets it, nobody else. Given back on drop.
class ImagesOpened {
 public:
  static Result<ImagesOpened> create(const Fd& images, const oci::Spec& spec) {
    for (const oci::IdMapping& mapping : spec.linux.gid_mappings) {
      if (mapping.container_id != 0) continue;
      const struct stat before = TRY(sys::stat(images.get()));
      if ((before.st_mode & S_IXOTH) != 0) break;
      ImagesOpened opened(&images, before);
      TRY(change(images, mapping.host_id, (before.st_mode & 07707U) | S_IXGRP));
      return opened;
    }
    return ImagesOpened(nullptr, {});
  }
  ImagesOpened(ImagesOpened&& other) noexcept
      : images_(std::exchange(other.images_, nullptr)), before_(other.before_) {}
  ImagesOpened(const ImagesOpened&) = delete;
  ImagesOpened& operator=(const ImagesOpened&) = delete;
  ImagesOpened& operator=(ImagesOpened&&) = delete;
  ~ImagesOpened() {
    if (images_ != nullptr)
      static_cast<void>(change(*images_, before_.st_gid, before_.st_mode & 07777U));
  }

 private:
  ImagesOpened(const Fd* images, const struct stat& before) : images_(images), before_(before) {}
  static Result<void> change(const Fd& images, gid_t group, mode_t mode) {
    if (::fchown(images.get(), static_cast<uid_t>(-1), group) != 0)
      return Error::system(errno, "give the guest's group the right to search the images");
    return sys::chmod(images.get(), mode);
  }
  const Fd* images_;
  struct stat before_;
};

// A container that CRIU brings up. All that was made is undone on drop until commit().
class Restoration {
 public:
  static Result<std::unique_ptr<Restoration>> begin(const Context& context, Input input) {
    NewFolder folder = TRY(NewFolder::create(context.root, input.id));
    std::unique_ptr<cgroups::Group> group = TRY(plan_group(context, input));
    Record record = new_record(context, input, *group);
    std::unique_ptr<Restoration> restoration(new Restoration(
        context, std::move(input), std::move(folder), std::move(group), std::move(record)));
    TRY(restoration->make_group());
    return restoration;
  }
  Restoration(const Restoration&) = delete;
  Restoration& operator=(const Restoration&) = delete;
  ~Restoration() {
    if (committed_) return;
    // The group goes first: it holds the processes.
    if (group_made_) static_cast<void>(group_->destroy());
    if (rdt_) static_cast<void>(rdt_->destroy());
  }

  // Until the process runs; its pty master is in console() then, if nobody else got it.
  Result<void> run(const RestoreOptions& options, const std::string& program,
                   const CriuFolders& folders, const std::vector<std::string>& stdio);
  const oci::Spec& spec() const { return input_.spec; }
  Fd take_console() { return std::move(console_); }
  Fd commit() {
    committed_ = true;
    folder_.commit();
    return std::move(process_);
  }

 private:
  Restoration(const Context& context, Input input, NewFolder folder,
              std::unique_ptr<cgroups::Group> group, Record record)
      : context_(context),
        input_(std::move(input)),
        folder_(std::move(folder)),
        group_(std::move(group)),
        record_(std::move(record)) {}
  Result<void> make_group();
  Result<void> on_notify(const criu::Event& event, Fd fd);
  Result<void> prepare_namespaces(Pid pid);
  Result<void> take_over(Pid pid);
  Result<void> limit(Pid pid);
  Result<void> publish(Pid pid);
  Result<void> hand_console(Fd master);

  const Context& context_;
  Input input_;
  NewFolder folder_;
  std::unique_ptr<cgroups::Group> group_;
  Record record_;
  std::optional<cgroups::IntelRdt> rdt_;
  Fd process_, console_;
  bool group_made_ = false;
  bool committed_ = false;
};

Result<void> Restoration::make_group() {
  TRY(make_recorded_group(folder_.dir(), record_, *group_));
  group_made_ = true;
  return write_config(folder_.dir(), input_.config_text);
}

Result<void> Restoration::run(const RestoreOptions& options, const std::string& program,
                              const CriuFolders& folders, const std::vector<std::string>& stdio) {
  Supplies supplies = TRY(supply(input_.spec, input_.bundle, *group_, stdio));
  CriuCall call;
  call.order = TRY(base_order(program, options.criu, folders, record_.annotations));
  call.order.action = criu::Action::kRestore;
  call.order.log_file = kLogName;
  call.order.root = record_.rootfs;
  call.order.mounts = std::move(supplies.tree);
  call.order.external_mounts = std::move(supplies.mounts);
  call.order.inherited = std::move(supplies.inherited);
  call.order.joined_namespaces = std::move(supplies.joined);
  call.order.lsm_profile = options.lsm_profile;
  call.order.lsm_mount_context = options.lsm_mount_context;
  call.folders = &folders;
  const CgroupYard yard = TRY(CgroupYard::create(folder_.dir(), record_.cgroup, call.order));
  for (const Fd& descriptor : supplies.descriptors)
    call.descriptors.push_back(descriptor.get());
  call.group = group_.get();
  call.on_notify = [this](const criu::Event& event, Fd fd) {
    return on_notify(event, std::move(fd));
  };
  TRY(call_criu(call, context_.host));
  if (process_) return {};
  return Error(Code::kInternal, "criu restored the processes without saying which is the first");
}

Result<void> Restoration::on_notify(const criu::Event& event, Fd fd) {
  if (event.script == "setup-namespaces") return prepare_namespaces(Pid(event.pid));
  if (event.script == "orphan-pts-master") return hand_console(std::move(fd));
  if (event.script == "post-restore") return take_over(Pid(event.pid));
  return {};
}

// CRIU gives the container an empty network namespace (its content belongs to the engine), in which
// not even loopback is up.
Result<void> loopback_up_in(Pid pid) {
  const Fd ours = TRY(sys::open(At::cwd(), "/proc/self/ns/net", O_RDONLY));
  const Fd theirs =
      TRY(sys::open(At::cwd(), "/proc/" + std::to_string(pid.value) + "/ns/net", O_RDONLY));
  TRY(sys::set_namespace(theirs.get(), CLONE_NEWNET));
  steps::Context words{};
  const long result = network::loopback_up(words);
  TRY(sys::set_namespace(ours.get(), CLONE_NEWNET));
  if (result < 0) return Error::system(static_cast<int>(-result), "set the loopback interface up");
  return {};
}

Result<void> Restoration::prepare_namespaces(Pid pid) {
  const oci::Namespace* network =
      oci::find_namespace(input_.spec.linux, oci::NamespaceType::kNetwork);
  if (network != nullptr && network->path.empty()) TRY(loopback_up_in(pid));
  const oci::Hooks& hooks = input_.spec.hooks;
  const oci::State state = state_of(record_, pid, "creating");
  TRY(run_hooks(hooks.prestart, state, "prestart"));
  return run_hooks(hooks.create_runtime, state, "createRuntime");
}

// The processes are there and stand still: they run on once this has returned.
Result<void> Restoration::take_over(Pid pid) {
  process_ = TRY(sys::pidfd_open(pid));
  TRY(limit(pid));
  return publish(pid);
}

Result<void> Restoration::limit(Pid pid) {
  TRY(set_limits(input_.spec, *group_));
  return join_intel_rdt(input_, context_.host, pid, rdt_, record_);
}

Result<void> Restoration::publish(Pid pid) {
  std::optional<ProcessMark> process = mark_process(pid);
  if (!process) return Error(Code::kSystem, "the restored process has ended");
  record_.process = *std::move(process);
  TRY(prepare_state(folder_.dir(), record_));
  TRY(write_pid_file(input_.options.pid_file, pid));
  TRY(send_pidfd(input_.options.pidfd_socket, process_.get()));
  return publish_state(folder_.dir());
}

Result<void> Restoration::hand_console(Fd master) {
  if (!master) return Error(Code::kInternal, "criu sent no terminal");
  const std::string& path = input_.options.console_socket;
  if (path.empty()) {
    console_ = std::move(master);
    return {};
  }
  Result<Fd> socket = sys::connect_stream(path);
  if (!socket) return std::move(socket).error().at("--console-socket");
  constexpr std::string_view kName = "/dev/ptmx";
  return sys::send(socket->get(), kName, master.get());
}

Result<void> remove_after_restore(const Context& context, const std::string& id) {
  Result<Folder> folder = Folder::open(context.root, id, Folder::Lock::kExclusive);
  if (!folder && folder.error().code() == Code::kNotFound) return {};
  if (!folder) return std::move(folder).error();
  const Folder::Loaded loaded = TRY(folder->load());
  return remove_container(*folder, loaded, context.host);
}

}  // namespace

Result<int> restore(const Context& context, const RestoreOptions& options) {
  const std::string program = TRY(find_criu(context.host, options.criu));
  const CriuFolders folders = TRY(open_criu_folders(options.criu));
  const std::vector<std::string> stdio = TRY(read_descriptors(folders));
  Input input = TRY(read_input(options.create));
  input.foreground = !options.detach;
  if (!input.spec.process) return Error(Code::kInvalid, "config.json: process is missing");
  TRY(check_terminal(input));
  TRY(check_restorable(input.spec));
  std::optional<Foreground> foreground;
  if (input.foreground) {
    foreground.emplace(TRY(Foreground::create()));
    // The helper is the process's first parent; when it ends, the process comes to us.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  }

  Result<std::unique_ptr<Restoration>> restoration = Restoration::begin(context, std::move(input));
  if (!restoration) return std::move(restoration).error();
  const ImagesOpened opened = TRY(ImagesOpened::create(folders.images, (*restoration)->spec()));
  TRY((*restoration)->run(options, program, folders, stdio));
  Fd console = (*restoration)->take_console();
  const Fd process = (*restoration)->commit();
  restoration->reset();  // lets go of the state folder's lock
  if (options.detach) return 0;

  Result<sys::Exit> exit = foreground->wait(process.get(), std::move(console));
  if (!options.keep) {
    Result<void> removed = remove_after_restore(context, options.create.id);
    if (exit && !removed) return std::move(removed).error();
  }
  return TRY(std::move(exit)).code();
}

}  // namespace vrun::runtime
