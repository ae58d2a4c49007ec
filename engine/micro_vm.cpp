#include "engine/micro_vm.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/json_table.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/host_view.hpp"
#include "engine/checkpoint.hpp"
#include "engine/guest_network.hpp"
#include "engine/limits.hpp"
#include "engine/machine_cards.hpp"
#include "engine/saved_machine.hpp"
#include "network/tap.hpp"
#include "seccomp/seccomp.hpp"
#include "vm/agent/cards.hpp"
#include "vm/kernel_cache.hpp"
#include "vm/lower.hpp"
#include "vm/qemu_root.hpp"

namespace vrun::engine {

constexpr auto json_fields(const MachineFacts*) {
  return json::fields(json::field("engine", &MachineFacts::engine, {.always = true}),
                      json::field("reason", &MachineFacts::reason),
                      json::field("kernel", &MachineFacts::kernel),
                      json::field("memory", &MachineFacts::memory),
                      json::field("processors", &MachineFacts::processors));
}

namespace {

struct Refusal {
  std::string_view flag;
  bool (*asked)(const RunRequest&);
  std::string_view reason;
};
using R = RunRequest;

// What the host's kernel would have to enforce upon processes that it does not see.
bool asks_for_a_host_profile(const RunRequest& request) {
  return std::any_of(request.security_opts.begin(), request.security_opts.end(),
                     [](const std::string& option) {
                       return option.starts_with("apparmor=") && option != "apparmor=unconfined";
                     });
}

constexpr std::string_view kOwnKernel = "the guest has a kernel of its own";
constexpr std::string_view kNotYet = "not built yet for micro-VMs";
constexpr const char* kReport = "vm-end";
constexpr const char* kFacts = "machine.json";

constexpr std::array kRefusals{
    Refusal{"--network host, container:NAME", [](const R& r) { return shares_network(r); },
            "the guest's kernel has interfaces of its own; --publish opens ports on the host"},
    Refusal{"--device", [](const R& r) { return !r.devices.empty(); },
            "the host's devices are not those of the guest's kernel"},
    Refusal{"--privileged", [](const R& r) { return r.privileged; },
            "there is no wall to take away: the guest's root has its whole kernel already; "
            "--cap-add ALL gives a process every right in there"},
    Refusal{"--userns", [](const R& r) { return !r.userns.empty() && r.userns != "private"; },
            kOwnKernel},
    Refusal{"--pid", [](const R& r) { return !r.pid.empty() && r.pid != "private"; }, kOwnKernel},
    Refusal{"--ipc", [](const R& r) { return !r.ipc.empty() && r.ipc != "private"; }, kOwnKernel},
    Refusal{"--uts", [](const R& r) { return !r.uts.empty() && r.uts != "private"; }, kOwnKernel},
    Refusal{"--cgroupns", [](const R& r) { return !r.cgroupns.empty() && r.cgroupns != "private"; },
            kOwnKernel},
    Refusal{"--init", [](const R& r) { return r.init; },
            "the guest's first process reaps and hands on signals by itself"},
    Refusal{"--view", [](const R& r) { return !r.view.empty(); },
            "the guest's kernel shows its own memory and processors, which are its limits"},
    Refusal{"--security-opt apparmor", asks_for_a_host_profile,
            "the profiles of the host's kernel do not reach into the guest"},
    Refusal{"--cpuset-mems", [](const R& r) { return !r.cpuset_mems.empty(); }, kNotYet},
    Refusal{"--platform",
            [](const R& r) { return !r.platform.empty() && r.platform != "linux/amd64"; },
            "micro-VMs are for linux/amd64"},
};

Result<Fd> sealed_copy(const std::string& path) {
  const Fd file = TRY(sys::open(At::cwd(), path, O_RDONLY));
  const auto size = TRY(sys::stat(file.get())).st_size;
  Fd copy = TRY(sys::memfd("vrun-vmm"));
  for (off_t at = 0; at < size;) {
    if (::sendfile(copy.get(), file.get(), &at, static_cast<std::size_t>(size - at)) <= 0)
      return Error::system(errno, "copy " + quote(path));
  }
  TRY(sys::seal(copy.get()));
  return copy;
}

// Into an empty memfd; whoever has it reads from the beginning.
Result<void> write_sealed(const Fd& file, std::string_view text) {
  TRY(sys::write_all(file.get(), text));
  TRY(sys::seal(file.get()));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return Error::system(errno, "rewind a file");
  return {};
}

Result<void> send_card(const Guests& guests, const network::Endpoint& endpoint, std::size_t number,
                       const Fd& netns, const Fd& to) {
  const network::Tap tap = TRY(network::make_tap(guests.host(), netns.get(), endpoint.interface,
                                                 "tap" + std::to_string(number)));
  const vm::CardMessage message{.mac = tap.mac.bytes, .mtu = static_cast<std::uint16_t>(tap.mtu)};
  const auto bytes = std::as_bytes(std::span(&message, 1));
  return sys::send(to.get(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                   tap.fd.get());
}

Result<std::vector<vm::GuestCard>> send_cards(const Guests& guests, const GuestRecord& record,
                                              const Fd& netns, const Fd& to) {
  const network::GuestNetwork network = TRY(network_of(guests, record));
  if (network.endpoints.size() > vm::kMostCards)
    return Error(Code::kUnsupported, "a micro-VM has at most 16 network cards");
  std::vector<vm::GuestCard> cards;
  bool leads_out = false;  // the first that can is the way out, as in the sandbox
  for (const network::Endpoint& endpoint : network.endpoints) {
    TRY(send_card(guests, endpoint, cards.size(), netns, to));
    cards.push_back(card_of(endpoint, !endpoint.internal && !leads_out));
    leads_out = leads_out || !endpoint.internal;
  }
  return cards;
}

// In the monitor's directory; by the descriptor's name, which is short enough for a socket.
Result<Fd> listen_in(const Fd& dir, const std::string& name) {
  static_cast<void>(sys::unlink(dir, name));  // of an earlier life
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error::system(errno, "make a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(dir.get()) + "/" + name;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), 64) != 0)
    return Error::system(errno, "listen on the socket " + quote(name));
  return socket;
}

// More than all that the host has is never there, and a kernel takes minutes to find that out.
Result<void> check_host_memory(const vm::MachineSize& size) {
  struct sysinfo host {};
  if (::sysinfo(&host) != 0) return Error::system(errno, "ask for the host's memory");
  const std::uint64_t there = (std::uint64_t{host.totalram} + host.totalswap) * host.mem_unit;
  if (size.memory <= there) return {};
  return Error(Code::kState, "a machine of " + std::to_string(size.memory >> 20U) +
                                 " MiB: the host has " + std::to_string(there >> 20U) +
                                 " MiB, swap included")
      .hint("a smaller --memory");
}

// By its name or path.
Result<vm::HostKernel> kernel_named(const vm::KernelPlaces& places, const std::string& kernel) {
  const bool is_path = kernel.find('/') != std::string::npos;
  return is_path ? vm::kernel_at(places, kernel) : vm::find_kernel(places, kernel);
}

}  // namespace

Result<void> refuse_for_micro_vm(const RunRequest& request, std::string_view verb) {
  if (!is_micro_vm(request)) return {};
  return Error(Code::kUnsupported, std::string(verb) + ": " + std::string(kNotYet));
}

Result<void> check_micro_vm(const RunRequest& request, bool rootless) {
  if (!is_micro_vm(request)) return {};
  std::string faults;
  for (const Refusal& refusal : kRefusals) {
    if (!refusal.asked(request)) continue;
    faults += (faults.empty() ? "" : "; ") + std::string(refusal.flag) + ": " +
              std::string(refusal.reason);
  }
  if (faults.empty() && rootless && has_own_network(request)) {
    return Error(Code::kUnsupported, "--isolation vm without root has no network yet")
        .hint("--network none, or run vrun with sudo");
  }
  if (faults.empty()) return {};
  return Error(Code::kUnsupported, "--isolation vm with " + faults).hint("leave the flags away");
}

namespace {

Result<vm::MachineSize> size_of(const RunRequest& request) {
  oci::Spec spec;
  spec.linux.resources = TRY(to_resources(request));
  return vm::size_of(spec);
}

}  // namespace

Result<std::uint32_t> processors_of(const RunRequest& request) {
  return TRY(size_of(request)).processors;
}

Result<void> check_micro_vm_host(const Guests& guests, const RunRequest& request) {
  if (!is_micro_vm(request)) return {};
  TRY(vm::choose_engine(micro_vm_facts(guests.host())));
  const vm::MachineSize size = TRY(size_of(request));
  TRY(check_host_memory(size));
  TRY(kernel_named(kernel_places(guests.places()), request.kernel));
  return check_disks_host(request);
}

vm::EngineFacts micro_vm_facts(const Host& host) {
  vm::EngineFacts facts;
  facts.kvm = vm::probe_kvm();
  facts.vmm = helper_path("vrun-vmm").value_or("");
  for (const std::string_view dir : split(host.variable("PATH"), ':')) {
    const std::string program = fs::join(dir, "qemu-system-x86_64");
    if (facts.qemu.empty() && dir.starts_with('/') && ::access(program.c_str(), X_OK) == 0)
      facts.qemu = program;
  }
  return facts;
}

vm::KernelPlaces kernel_places(const Places& places) {
  vm::KernelPlaces kernels;
  kernels.data = places.data;
  return kernels;
}

std::vector<Fd> MicroVm::take_files() {
  std::vector<Fd> files = std::move(disks);
  for (Fd* file : {&program, &kvm, &kernel, &initramfs, &qemu, &run, &agent, &control, &report,
                   &cards, &state, &memory, &words})
    if (*file) files.push_back(std::move(*file));
  return files;
}

std::vector<int> MicroVm::handed() const {
  std::vector<int> numbers;
  for (const Fd* file : {&program, &kvm, &kernel, &initramfs, &qemu, &run, &agent, &control,
                         &report, &cards, &state, &memory, &words})
    if (*file) numbers.push_back(file->get());
  for (const Fd& disk : disks)
    numbers.push_back(disk.get());
  return numbers;
}

namespace {

Result<void> take_disks(const std::vector<DiskWish>& wishes, MicroVm& made) {
  for (const DiskWish& wish : wishes) {
    Fd disk = TRY(open_disk(wish));
    made.disks.push_back(std::move(disk));
  }
  if (!wishes.empty()) made.words = TRY(sys::memfd("vrun-words"));
  return {};
}

std::vector<vm::HandedDisk> handed_disks(const MachineHost& on, const MicroVm& made) {
  std::vector<vm::HandedDisk> handed;
  for (std::size_t i = 0; i < made.disks.size(); ++i)
    handed.push_back(
        {made.disks[i].get(), on.disks[i].read_only, on.disk_limits[i], on.disk_names[i]});
  return handed;
}

// Answers the kernel's release.
Result<std::string> take_boot_files(const MachineHost& on, const vm::EngineFacts& facts,
                                    vm::Engine engine, MicroVm& made) {
  const vm::HostKernel kernel = TRY(kernel_named({.data = on.data}, on.kernel));
  const std::string helper = TRY(helper_path("vrun-kernel"));
  const std::string agent = TRY(helper_path("vrun-guest"));
  vm::BootFiles files = TRY(vm::boot_files({on.data, kernel, agent, !on.disks.empty(), on.initrd},
                                           vm::kernel_helper(helper)));
  if (engine == vm::Engine::kQemu) {
    made.qemu = TRY(vm::qemu_root({on.data, facts.qemu, files}));
    return kernel.release;
  }
  made.kernel = std::move(files.vmlinux);
  made.initramfs = std::move(files.initramfs);
  made.kvm = TRY(sys::open(At::cwd(), "/dev/kvm", O_RDWR));
  return kernel.release;
}

Result<void> take_saved(SavedMachine saved, vm::Engine engine, MicroVm& made) {
  if (engine != vm::Engine::kKvm) {
    return Error(Code::kUnsupported,
                 "a saved machine goes on with the engine kvm only, which this "
                 "host does not have")
        .hint("`vrun doctor` says what KVM lacks here");
  }
  made.state = std::move(saved.state);
  made.memory = std::move(saved.memory);
  made.kvm = TRY(sys::open(At::cwd(), "/dev/kvm", O_RDWR));
  return {};
}

// Without root and a group that was handed to the user there is nowhere to make one, whatever the
// host has.
std::vector<std::string> usable_controllers(const Host& host, const oci::Spec& guest) {
  if (host.nested() && guest.linux.cgroups_path.empty()) return {};
  return cgroups::look_at(host).controllers;
}

// With all but what the guest runs, which MicroVm::run has not got yet.
Result<MicroVm> make_unfilled(const MachineHost& on, const Fd& dir, const oci::Spec& guest,
                              bool with_cards, std::optional<SavedMachine> saved = {}) {
  const vm::MachineSize size = TRY(vm::size_of(guest));
  TRY(check_host_memory(size));
  const vm::EngineFacts facts = micro_vm_facts(on.host);
  const vm::EngineChoice choice = TRY(vm::choose_engine(facts));
  MicroVm made;
  TRY(take_disks(on.disks, made));
  made.program = TRY(sealed_copy(facts.vmm));
  std::string kernel;  // empty: that of the snapshot, in its memory
  if (saved)
    TRY(take_saved(*std::move(saved), choice.engine, made));
  else
    kernel = TRY(take_boot_files(on, facts, choice.engine, made));
  made.run = TRY(sys::memfd("vrun-guest"));
  if (with_cards) {
    sys::SocketPair pair = TRY(sys::packet_pair());
    made.send_cards = std::move(pair.mine);
    made.cards = std::move(pair.theirs);
  }
  TRY(fs::replace_file(dir, "vm.json", vm::guest_document(guest)));
  const MachineFacts told{choice.engine, choice.reason, kernel, size.memory, size.processors};
  TRY(fs::replace_file(dir, kFacts, to_json(told)));
  made.agent = TRY(listen_in(dir, kAgentSocket));
  made.control = TRY(listen_in(dir, "control"));
  made.report = TRY(sys::open(dir, kReport, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  made.jail = vm::jail_of(guest, size,
                          {.program = made.program.get(),
                           .kvm = made.kvm.get(),
                           .kernel = made.kernel.get(),
                           .initramfs = made.initramfs.get(),
                           .qemu = made.qemu.get(),
                           .run = made.run.get(),
                           .agent = made.agent.get(),
                           .control = made.control.get(),
                           .report = made.report.get(),
                           .state = made.state.get(),
                           .memory = made.memory.get(),
                           .words = made.words.get(),
                           .disks = handed_disks(on, made),
                           .cards = made.cards.get()});
  vm::leave_out_own_limits(guest, usable_controllers(on.host, guest), made.jail);
  made.jail.linux.seccomp =
      TRY(seccomp::default_profile(made.jail.process->capabilities->bounding));
  return made;
}

}  // namespace

Result<MicroVm> make_machine(const MachineHost& on, const Fd& dir, const oci::Spec& guest,
                             std::optional<SavedMachine> saved) {
  MicroVm made = TRY(make_unfilled(on, dir, guest, false, std::move(saved)));
  TRY(write_sealed(made.run,
                   made.state ? vm::adoption_document(guest) : vm::guest_document(guest)));
  return made;
}

Result<MicroVm> make_micro_vm(const Guests& guests, const MonitorPlace& place, const Fd& guest_dir,
                              const GuestRecord& record, const oci::Spec& guest) {
  const RunRequest& request = record.request;
  const std::string guest_path = guests.path_of(record);
  MachineHost on{guests.host(), guests.places().data, request.kernel, request.initrd};
  on.disks = TRY(disks_of(request, guest_path));
  on.disk_limits = TRY(limits_of_disks(request));
  for (const std::string& text : request.disks)
    on.disk_names.push_back(disk_name(text));
  oci::Spec spec = guest;
  if (!request.kernel_parameters.empty())
    spec.vm.emplace().kernel.emplace().parameters = request.kernel_parameters;
  return make_unfilled(on, place.dir, spec, has_own_network(request),
                       TRY(machine_to_go_on(guest_dir, record)));
}

std::string to_json(const MachineFacts& facts) {
  return json::write(facts, json::Style::kCompact);
}

std::optional<MachineFacts> machine_facts(const Guests& guests, const GuestRecord& record) {
  return machine_facts_in(guests.monitor_dir(record));
}

std::optional<MachineFacts> machine_facts_in(const std::string& dir) {
  constexpr std::size_t kMost = 4096;
  const std::string path = dir + "/" + kFacts;
  const Result<std::string> text = fs::read_file(At::cwd(), path, kMost);
  if (!text) return std::nullopt;
  Result<MachineFacts> facts = json::read<MachineFacts>(*text, path);
  if (!facts) return std::nullopt;
  return *std::move(facts);
}

vm::EndReport micro_vm_end(const Guests& guests, const GuestRecord& record) {
  // Empty or not whole: the VMM was killed, and the exit status says so.
  return vm::parse_report(
             fs::read_file(At::cwd(), guests.monitor_dir(record) + "/" + kReport, vm::kMostReport)
                 .value_or(""))
      .value_or(vm::EndReport{});
}

Result<void> complete_micro_vm(const Guests& guests, const GuestRecord& record,
                               const oci::Spec& guest, const Fd& netns, MicroVm& made) {
  std::vector<vm::GuestCard> cards;
  if (made.send_cards) cards = TRY(send_cards(guests, record, netns, made.send_cards));
  TRY(write_sealed(made.run, made.state ? vm::adoption_document(guest, cards)
                                        : vm::guest_document(guest, cards)));
  if (made.words) {
    const std::string servers =
        fs::read_file(At::cwd(), guests.path_of(record) + "/files/resolv.conf", 65536).value_or("");
    const std::string words = TRY(boot_words(record.request, made.disks.front(), cards, servers));
    TRY(write_sealed(made.words, words));
  }
  made.send_cards.reset();  // that was all
  return {};
}

}  // namespace vrun::engine
