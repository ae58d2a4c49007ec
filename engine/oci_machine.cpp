#include "engine/oci_machine.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <poll.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "engine/micro_vm.hpp"
#include "engine/micro_vm_exec.hpp"
#include "engine/places.hpp"
#include "engine/saved_machine.hpp"
#include "steps/builder.hpp"
#include "vm/kernel_shelf.hpp"

namespace vrun::engine {
namespace {

using Faults = std::vector<std::string>;

void add_faults(const oci::Vm& vm, Faults& faults) {
  const auto add = [&](bool wrong, const char* text) {
    if (wrong) faults.emplace_back(text);
  };
  add(vm.hypervisor && !vm.hypervisor->path.ends_with("/vrun-vmm"),
      "vm.hypervisor: the monitor is vrun-vmm, beside this program, and no other");
  add(vm.hypervisor && !vm.hypervisor->parameters.empty(),
      "vm.hypervisor.parameters: there are none to set");
  add(vm.kernel && !vm.kernel->initrd.empty(),
      "vm.kernel.initrd: it is made of the agent that runs the process");
  add(vm.image.has_value(), "vm.image: the root is that of the bundle (root.path)");
  add(vm.hardware && !vm.hardware->device_tree.empty(),
      "vm.hwConfig.deviceTree: a PC has ACPI tables instead");
}

// Those that every guest has (runtime-spec, "Default Devices").
bool is_default(const oci::Device& device) {
  constexpr std::array<std::string_view, 8> kDefault{"/dev/null", "/dev/zero",   "/dev/full",
                                                     "/dev/tty",  "/dev/random", "/dev/urandom",
                                                     "/dev/ptmx", "/dev/console"};
  return std::find(kDefault.begin(), kDefault.end(), device.path) != kDefault.end();
}

// What there is no answer to, "" when there is.
std::string faults_of(const oci::Spec& spec) {
  Faults faults;
  if (spec.vm) add_faults(*spec.vm, faults);
  if (!std::all_of(spec.linux.devices.begin(), spec.linux.devices.end(), is_default))
    faults.emplace_back("linux.devices: the host's devices are not those of the guest's kernel");
  for (const auto& [profile, field] :
       {std::pair{spec.process->apparmor_profile, "process.apparmorProfile"},
        std::pair{spec.process->selinux_label, "process.selinuxLabel"}}) {
    if (!profile.empty() && profile != "unconfined")
      faults.push_back(field +
                       std::string(": the host kernel's rules do not reach into the guest"));
  }
  return join(faults, "; ");
}

// "" for the default. A path is that of a kernel that vrun knows with its modules.
Result<std::string> kernel_name(const oci::Spec& spec, const vm::KernelPlaces& places) {
  if (!spec.vm || !spec.vm->kernel) return std::string();
  const std::string& path = spec.vm->kernel->path;
  for (const vm::ShelfKernel& one : TRY(vm::list_kernels(places))) {
    if (one.kernel.file == path) return one.kernel.release;
  }
  return Error(Code::kNotFound, "no kernel " + quote(path) + " with modules is known")
      .at("vm.kernel.path")
      .hint("vrun vm kernel add FILE --modules DIR; vrun vm kernel ls lists them");
}

Result<std::vector<Fd>> lower(const Host& host, const Fd& folder, oci::Spec& spec,
                              std::optional<SavedMachine> saved = {}) {
  if (!TRY(wants_machine(spec))) return std::vector<Fd>();
  if (!spec.process) return Error(Code::kInvalid, "config.json: process is missing");
  const std::string faults = faults_of(spec);
  if (!faults.empty()) return Error(Code::kUnsupported, "config.json: " + faults);
  const Places places = TRY(Places::find(host));
  const std::string kernel = TRY(kernel_name(spec, {.data = places.data}));
  MicroVm made = TRY(make_machine({host, places.data, kernel}, folder, spec, std::move(saved)));
  spec = std::move(made.jail);
  return made.take_files();
}

std::string socket_of(const runtime::Context& context, const std::string& id) {
  return context.root + "/" + id + "/" + kAgentSocket;
}

Result<std::vector<Fd>> lower_to_saved(const Host& host, const std::string& image_path,
                                       const Fd& folder, oci::Spec& spec) {
  if (!TRY(wants_machine(spec))) {
    return Error(Code::kInvalid, "the checkpoint " + quote(image_path) +
                                     " is that of a micro-VM, and the bundle makes a container");
  }
  const Fd dir = TRY(sys::open_dir(At::cwd(), image_path));
  return lower(host, folder, spec, TRY(open_saved_machine(dir)));
}

Result<void> wait_for_machines_end(const Fd& process) {
  constexpr int kToEndMs = 20000;
  std::array<pollfd, 1> ended{pollfd{process.get(), POLLIN, 0}};
  if (TRY(sys::poll(ended, kToEndMs)) > 0) return {};
  return Error(Code::kTimeout, "the machine is saved, and did not end in time");
}

// The flags that make sense for processes of the host only.
std::string foreign_flags(const runtime::ExecOptions& options) {
  std::vector<std::string> flags;
  const auto add = [&](bool given, const char* flag) {
    if (given) flags.emplace_back(flag);
  };
  add(!options.pid_file.empty(), "--pid-file");
  add(!options.pidfd_socket.empty(), "--pidfd-socket");
  add(!options.console_socket.empty(), "--console-socket");
  add(!options.cgroup.empty(), "--cgroup");
  add(options.preserve_fds > 0, "--preserve-fds");
  add(!options.process_label.empty(), "--process-label");
  add(!options.apparmor.empty(), "--apparmor");
  return join(flags, ", ");
}

MicroVmExec exec_of(const runtime::ExecOptions& options) {
  MicroVmExec exec;
  if (options.process) {
    const oci::Process& process = *options.process;
    exec.args = process.args;
    exec.env = process.env;
    exec.cwd = process.cwd;
    exec.terminal = process.terminal;
    exec.user = process.user;
    if (process.capabilities) exec.capabilities = process.capabilities->bounding;
  } else {
    exec.args = options.args;
    exec.env = options.env;
    exec.cwd = options.cwd;
    exec.terminal = options.terminal;
    exec.capabilities = options.capabilities;
    if (options.uid) {
      oci::User user;
      user.uid = *options.uid;
      user.gid = options.gid.value_or(Gid(0));
      user.additional_gids = options.additional_gids;
      exec.user = user;
    }
  }
  exec.detach = options.detach;
  exec.input = !options.detach;
  return exec;
}

}  // namespace

Result<bool> wants_machine(const oci::Spec& spec) {
  const auto found = spec.annotations.find(kIsolationAnnotation);
  const std::string said = found == spec.annotations.end() ? "" : found->second;
  if (said.empty()) return spec.vm.has_value();
  if (said == "vm") return true;
  if (said == "container" && !spec.vm) return false;
  return Error(Code::kInvalid,
               quote(said) + (said == "container" ? " and the object `vm` exclude each other"
                                                  : " is neither container nor vm"))
      .at("annotations[" + std::string(kIsolationAnnotation) + "]");
}

runtime::Lowering lower_to_machine(const Host& host) {
  return [host](const Fd& folder, oci::Spec& spec) { return lower(host, folder, spec); };
}

Result<void> checkpoint_machine(const runtime::Context& context, const OciCheckpoint& wish) {
  const runtime::Info info = TRY(runtime::state(context, wish.id));
  if (info.status != runtime::Status::kRunning)
    return Error(Code::kState,
                 "container " + quote(wish.id) + " is " + runtime::to_text(info.status));
  const std::string folder = context.root + "/" + wish.id;
  const auto facts = machine_facts_in(folder);
  if (!facts || facts->engine != vm::Engine::kKvm)
    return Error(Code::kUnsupported, "the machine cannot be saved: its engine is not kvm")
        .hint("`vrun doctor` says what KVM lacks here");
  TRY(fs::make_dirs(At::cwd(), wish.image_path, 0700));
  const Fd images = TRY(sys::open_dir(At::cwd(), wish.image_path));
  if (is_machine_image(wish.image_path))
    return Error(Code::kExists, quote(wish.image_path) + " has the checkpoint of a machine")
        .hint("remove it, or name another directory by --image-path");
  const Fd process = TRY(runtime::open_init(context, wish.id));
  const std::string making = std::string(kCloned) + ".new";
  TRY(fs::remove_tree(images, making));  // of one that was killed
  TRY(sys::make_dir(images, making, 0700));
  const Fd to = TRY(sys::open_dir(images, making));
  Undo remove([&] { static_cast<void>(fs::remove_tree(images, making)); });
  MachineStandstill still = TRY(MachineStandstill::begin_in(folder, to));
  if (::syncfs(to.get()) != 0) return Error::system(errno, "write the checkpoint");
  TRY(sys::rename(images, making, images, kCloned));
  remove.commit();
  if (wish.leave_running) return still.end();
  TRY(still.end_guest());
  TRY(wait_for_machines_end(process));
  return runtime::remove(context, wish.id, true);
}

bool is_machine_image(const std::string& image_path) {
  return ::access((image_path + "/" + kCloned + "/state").c_str(), F_OK) == 0;
}

runtime::Lowering lower_to_saved_machine(const Host& host, const std::string& image_path) {
  return [host, image_path](const Fd& folder, oci::Spec& spec) {
    return lower_to_saved(host, image_path, folder, spec);
  };
}

bool is_machine(const runtime::Context& context, const std::string& id) {
  // The id may be anything; what is no container has no such socket.
  return id.find('/') == id.npos && ::access(socket_of(context, id).c_str(), F_OK) == 0;
}

Result<int> exec_in_machine(const runtime::Context& context, const runtime::ExecOptions& options) {
  const std::string flags = foreign_flags(options);
  if (!flags.empty())
    return Error(
        Code::kUnsupported,
        flags + ": a process of a micro-VM is none of this host, which has these for its own");
  const runtime::Info info = TRY(runtime::state(context, options.id));
  if (info.status != runtime::Status::kRunning)
    return Error(Code::kState,
                 "container " + quote(options.id) + " is " + runtime::to_text(info.status));
  const auto runs = [&] {
    const Result<runtime::Info> now = runtime::state(context, options.id);
    return now && now->status == runtime::Status::kRunning;
  };
  int status = 125;
  Result<int> code = exec_by_socket(socket_of(context, options.id), runs, exec_of(options), status);
  if (code || status == 125) return code;
  return std::move(std::move(code).error().step(steps::name_of(steps::Op::kFindProgram)));
}

}  // namespace vrun::engine
