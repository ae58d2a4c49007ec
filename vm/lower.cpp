#include "vm/lower.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/json_writer.hpp"
#include "oci/documents.hpp"

namespace vrun::vm {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint32_t kMostProcessors = 254;
// Workers of the devices, the console, the main thread.
constexpr std::int64_t kThreadsOfDevices = 64;

// A kernel that panics goes off at once; errors only, on the port whose last lines the VMM keeps
// for the reason of an end (kernel-parameters.txt). Both machines have the reset of a keyboard
// controller (power.hpp); by the ACPI register Linux 6.1 does not get away from ours.
constexpr std::string_view kCommandLine = "console=ttyS0 quiet panic=-1 reboot=k";

// What serving files for other users takes; decision 020.
constexpr std::array<std::string_view, 6> kCapabilities{
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD", "CAP_SETFCAP"};

// QEMU has a root of its own; given up with all others before it runs.
constexpr std::string_view kCapabilityOfQemu = "CAP_SYS_CHROOT";
// An emulated processor is some twenty times slower.
constexpr std::uint64_t kEmulationWaitSeconds = 300;
// QEMU itself, the kernel's file that it reads, and its translated code.
constexpr std::uint64_t kEmulationOverhead = 256 * kMiB;

Engine engine_of(const Handed& handed) {
  return handed.qemu >= 0 ? Engine::kQemu : Engine::kKvm;
}

// File systems that the guest's kernel makes by itself.
bool is_kernels_own(const oci::Mount& mount) {
  constexpr std::array<std::string_view, 7> kTypes{"proc",   "sysfs",  "devpts", "tmpfs",
                                                   "mqueue", "cgroup", "cgroup2"};
  return std::find(kTypes.begin(), kTypes.end(), mount.type) != kTypes.end();
}

std::string option(std::string_view name, std::uint64_t value) {
  return "--" + std::string(name) + "=" + std::to_string(value);
}
std::string file(std::string_view name, int fd) {
  return option(name, static_cast<std::uint64_t>(fd));
}

// With names of network cards that do not depend on where they are plugged in, and systemd's
// progress on the console.
constexpr std::string_view kCommandLineOfDisks =
    "console=ttyS0 quiet panic=-1 reboot=k net.ifnames=0 systemd.show_status=1";

std::string command_line_of(const oci::Spec& spec, bool disk) {
  std::string line(disk ? kCommandLineOfDisks : kCommandLine);
  if (!spec.vm || !spec.vm->kernel) return line;
  for (const std::string& parameter : spec.vm->kernel->parameters)
    line += " " + parameter;
  return line;
}

std::string limits_text(const DiskLimits& limits) {
  std::string text;
  const auto add = [&](const char* name, std::uint64_t value) {
    if (value != 0) text += "," + std::string(name) + "=" + std::to_string(value);
  };
  add("read-bytes", limits.read_bytes);
  add("write-bytes", limits.write_bytes);
  add("read-operations", limits.read_operations);
  add("write-operations", limits.write_operations);
  return text;
}

// What runs in the machine.
std::vector<std::string> guest_options(const Handed& handed) {
  if (handed.words < 0) return {"--share=root:/", file("run", handed.run)};
  std::vector<std::string> options{file("boot-words", handed.words)};
  for (const HandedDisk& disk : handed.disks)
    options.push_back(file(disk.read_only ? "read-only-disk" : "disk", disk.file) +
                      (disk.name.empty() ? "" : ",name=" + disk.name) + limits_text(disk.limits));
  return options;
}

oci::Process vmm_process(const oci::Process& asked, const MachineSize& size, const Handed& handed,
                         const std::string& command_line) {
  oci::Process process;
  process.terminal = asked.terminal;
  process.console_size = asked.console_size;
  process.cwd = "/";
  process.args = {"/proc/self/fd/" + std::to_string(handed.program),
                  option("memory", size.memory),
                  option("processors", size.processors),
                  "--command-line=" + command_line,
                  file("agent", handed.agent),
                  file("control", handed.control),
                  file("report", handed.report)};
  const std::vector<std::string> guest = guest_options(handed);
  process.args.insert(process.args.end(), guest.begin(), guest.end());
  const std::vector<std::string> engine =
      handed.state >= 0 ? std::vector{file("kvm", handed.kvm), file("restore", handed.state),
                                      file("memory-file", handed.memory)}
      : engine_of(handed) == Engine::kQemu
          ? std::vector{file("qemu", handed.qemu), option("agent-wait", kEmulationWaitSeconds)}
          : std::vector{file("kvm", handed.kvm), file("kernel", handed.kernel),
                        file("initrd", handed.initramfs)};
  process.args.insert(process.args.end(), engine.begin(), engine.end());
  if (handed.cards >= 0) process.args.push_back(file("cards", handed.cards));
  oci::Capabilities sets;
  sets.bounding.assign(kCapabilities.begin(), kCapabilities.end());
  if (engine_of(handed) == Engine::kQemu) sets.bounding.emplace_back(kCapabilityOfQemu);
  sets.effective = sets.permitted = sets.bounding;
  process.capabilities = std::move(sets);
  process.no_new_privileges = true;
  process.oom_score_adj = asked.oom_score_adj;
  return process;
}

// Of the kernel's own file systems the jail has what the VMM needs (/proc/self/fd, where it is
// executed and finds its files; devpts for its terminal), and the places of the others: a root that
// is read-only or came without them has no way to make them in the guest.
void keep_places(std::vector<oci::Mount>& mounts) {
  std::erase_if(mounts, [](const oci::Mount& mount) {
    return mount.type == "mqueue" || mount.type == "cgroup" || mount.type == "cgroup2";
  });
  for (oci::Mount& mount : mounts) {
    if (mount.type != "sysfs") continue;
    mount.type = mount.source = "tmpfs";
    mount.options = {"nosuid", "noexec", "nodev", "ro", "size=4k"};
  }
}

oci::Mount proc_mount() {
  oci::Mount proc;
  proc.destination = "/proc";
  proc.type = proc.source = "proc";
  proc.options = {"nosuid", "noexec", "nodev"};
  return proc;
}

void write(json::Writer& w, const GuestCard& card) {
  w.begin_object().member("name", card.name).member("mac", card.mac);
  w.member("addresses", std::span<const std::string>(card.addresses));
  w.member("gateways", std::span<const std::string>(card.gateways)).end_object();
}

std::string text_of(std::span<const GuestCard> cards) {
  json::Writer w;
  w.begin_array();
  for (const GuestCard& card : cards)
    write(w, card);
  return w.end_array().take();
}

oci::Resources jail_resources(oci::Resources resources, const MachineSize& size, Engine engine) {
  oci::Memory memory = resources.memory.value_or(oci::Memory{});
  const auto overhead = static_cast<std::int64_t>(overhead_of(size, engine));
  const auto limit = static_cast<std::int64_t>(size.memory);
  if (memory.swap && *memory.swap > 0) {
    // With swap: memory and swap together.
    *memory.swap = std::max(*memory.swap, limit) + overhead;
  }
  memory.limit = limit + overhead;
  resources.memory = std::move(memory);
  // The guest's own limit is counted by its kernel; the VMM has a thread a processor and some more.
  resources.pids_limit = static_cast<std::int64_t>(size.processors) + kThreadsOfDevices;
  return resources;
}

// What `vm.hwConfig` says comes before the limits.
Result<MachineSize> sized(MachineSize size, const oci::Spec& spec) {
  if (spec.vm && spec.vm->hardware) {
    const oci::VmHardware& hardware = *spec.vm->hardware;
    if (hardware.memory != 0) size.memory = hardware.memory / kMiB * kMiB;
    if (hardware.vcpus != 0) size.processors = hardware.vcpus;
  }
  if (size.memory < kLeastMemory) {
    return Error(Code::kInvalid,
                 "a micro-VM has a kernel of its own, which needs more memory than " +
                     std::to_string(size.memory / kMiB) + " MiB")
        .hint("--memory " + std::to_string(kLeastMemory / kMiB) + "m or more");
  }
  if (size.processors > kMostProcessors) {
    return Error(Code::kInvalid, "a micro-VM has at most 254 processors")
        .hint("--cpus 254 or less");
  }
  return size;
}

// One for each begun processor of the quota; 1 without one.
std::uint32_t processors_of(const oci::Resources& resources) {
  if (!resources.cpu || !resources.cpu->quota || *resources.cpu->quota <= 0) return 1;
  const auto quota = static_cast<std::uint64_t>(*resources.cpu->quota);
  const std::uint64_t period = std::max<std::uint64_t>(resources.cpu->period.value_or(100000), 1);
  const std::uint64_t whole = quota / period + (quota % period == 0 ? 0 : 1);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(whole, 1, kMostProcessors + 1));
}

}  // namespace

Result<MachineSize> size_of(const oci::Spec& spec) {
  MachineSize size{.memory = kDefaultMemory, .processors = 1};
  if (!spec.linux.resources) return sized(size, spec);
  const oci::Resources& resources = *spec.linux.resources;
  if (resources.memory && resources.memory->limit && *resources.memory->limit > 0)
    size.memory = static_cast<std::uint64_t>(*resources.memory->limit) / kMiB * kMiB;
  size.processors = processors_of(resources);
  return sized(size, spec);
}

std::uint64_t overhead_of(const MachineSize& size, Engine engine) {
  // KVM's own tables of the guest's memory: 8 bytes a page at worst twice (shadow paging), and the
  // VMM with its buffers, the pages of files in flight. A file that the guest's kernel knows takes
  // 1 KiB there and some 250 bytes in the VMM: a quarter, if it fills its memory with them.
  return 32 * kMiB + size.memory / 4 / kMiB * kMiB + size.processors * kMiB +
         (engine == Engine::kQemu ? kEmulationOverhead : 0);
}

oci::Spec jail_of(const oci::Spec& spec, const MachineSize& size, const Handed& handed) {
  oci::Spec jail = spec;
  jail.process = vmm_process(*spec.process, size, handed, command_line_of(spec, handed.words >= 0));
  jail.vm.reset();
  keep_places(jail.mounts);
  const bool has_proc = std::any_of(jail.mounts.begin(), jail.mounts.end(),
                                    [](const oci::Mount& one) { return one.type == "proc"; });
  if (!has_proc) jail.mounts.insert(jail.mounts.begin(), proc_mount());
  jail.linux.sysctl.clear();
  jail.linux.resources =
      jail_resources(spec.linux.resources.value_or(oci::Resources{}), size, engine_of(handed));
  return jail;
}

void leave_out_own_limits(const oci::Spec& guest, const std::vector<std::string>& controllers,
                          oci::Spec& jail) {
  const auto has = [&](std::string_view name) {
    return std::find(controllers.begin(), controllers.end(), name) != controllers.end();
  };
  if (!jail.linux.resources) return;
  oci::Resources& limits = *jail.linux.resources;
  const oci::Resources asked = guest.linux.resources.value_or(oci::Resources{});
  const oci::Memory memory = asked.memory.value_or(oci::Memory{});
  const bool is_size = !memory.reservation && (!memory.swap || memory.swap == memory.limit);
  if (!has("memory") && is_size) limits.memory.reset();
  if (!has("pids")) limits.pids_limit.reset();
  if (!has("cpu") && limits.cpu && limits.cpu->quota &&
      *limits.cpu->quota % static_cast<std::int64_t>(limits.cpu->period.value_or(100000)) == 0) {
    limits.cpu->quota.reset();
    limits.cpu->period.reset();
  }
}

std::string guest_document(const oci::Spec& spec, std::span<const GuestCard> cards) {
  oci::Spec guest;
  guest.oci_version = spec.oci_version;
  guest.hostname = spec.hostname;
  guest.domainname = spec.domainname;
  guest.root = spec.root;
  guest.process = spec.process;
  for (const oci::Mount& mount : spec.mounts) {
    if (is_kernels_own(mount)) guest.mounts.push_back(mount);
  }
  guest.linux.sysctl = spec.linux.sysctl;
  guest.linux.seccomp = spec.linux.seccomp;
  guest.linux.masked_paths = spec.linux.masked_paths;
  guest.linux.readonly_paths = spec.linux.readonly_paths;
  if (spec.linux.resources && spec.linux.resources->pids_limit) {
    guest.linux.resources.emplace();
    guest.linux.resources->pids_limit = spec.linux.resources->pids_limit;
  }
  return "{\"spec\":" + oci::to_json(guest, false) + ",\"networks\":" + text_of(cards) + "}";
}

std::string card_call(std::string_view call, const GuestCard& card) {
  json::Writer w;
  w.begin_object().member("call", call).key("network");
  write(w, card);
  return w.end_object().take();
}

std::string adoption_document(const oci::Spec& spec, std::span<const GuestCard> cards) {
  const std::string name =
      json::Writer().begin_object().member("hostname", spec.hostname).end_object().take();
  return name.substr(0, name.size() - 1) + ",\"networks\":" + text_of(cards) + "}";
}

}  // namespace vrun::vm
