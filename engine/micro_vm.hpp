// Guests with --isolation vm: the sandbox is that of a container, its process is vrun-vmm, and the
// image's program runs in the guest's own kernel (decision 020).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/disk.hpp"
#include "engine/guests.hpp"
#include "engine/monitor_call.hpp"
#include "engine/request.hpp"
#include "engine/saved_machine.hpp"
#include "oci/spec.hpp"
#include "vm/agent/report.hpp"
#include "vm/engine_choice.hpp"
#include "vm/kernel_shelf.hpp"

namespace vrun::engine {

inline bool is_micro_vm(const RunRequest& request) {
  return request.isolation == "vm";
}

// kUnsupported for what is not built for micro-VMs yet: "debug".
Result<void> refuse_for_micro_vm(const RunRequest& request, std::string_view verb);

// All flags at once that a micro-VM cannot have, each with its reason; one table.
Result<void> check_micro_vm(const RunRequest& request, bool rootless);

// How many processors its kernel sees.
Result<std::uint32_t> processors_of(const RunRequest& request);

// What a micro-VM needs of this host is there: an engine and a kernel.
Result<void> check_micro_vm_host(const Guests& guests, const RunRequest& request);

// What this host has for micro-VMs. Tries KVM, which takes about a millisecond.
vm::EngineFacts micro_vm_facts(const Host& host);
vm::KernelPlaces kernel_places(const Places& places);

// All that a start needs: open, and handed to vrun-vmm under these numbers.
struct MicroVm {
  oci::Spec jail;
  Fd program, kvm, kernel, initramfs, qemu, run, agent, control, report;
  Fd state, memory;  // of a saved machine, which goes on (saved_machine.hpp)
  Fd words;          // of a system on disks, instead of `run`
  std::vector<Fd> disks;
  Fd cards, send_cards;  // the two ends of what network cards go by; empty without a network
  std::vector<int> handed() const;
  std::vector<Fd> take_files();  // all of them
};
inline constexpr const char* kAgentSocket = "agent";

// Where a machine is made. `kernel`: its name (`vm kernel ls`) or path, empty: the default. With
// disks the guest is the system on them; `initrd`: a file instead of an initramfs of ours.
struct MachineHost {
  const Host& host;
  std::string data;
  std::string kernel;
  std::string initrd = {};
  std::vector<DiskWish> disks = {};
  std::vector<vm::DiskLimits> disk_limits = {};  // of each
  std::vector<std::string> disk_names = {};
};
// `guest`: the specification that a container would have. Leaves in `dir` the sockets `agent` and
// `control`, `vm.json` (the guest's own specification, which exec starts from) and `vm-end`, which
// gets the VMM's report.
// `saved`: it goes on from there.
Result<MicroVm> make_machine(const MachineHost& on, const Fd& dir, const oci::Spec& guest,
                             std::optional<SavedMachine> saved = {});
// The same for a guest of ours, in its monitor's directory.
// `guest_dir`: where a saved machine may wait for its start.
Result<MicroVm> make_micro_vm(const Guests& guests, const MonitorPlace& place, const Fd& guest_dir,
                              const GuestRecord& record, const oci::Spec& guest);
// When the sandbox is there and joined to its networks (attach_network()): says what the guest
// runs, and sends it a card for each interface. The VMM waits for it.
Result<void> complete_micro_vm(const Guests& guests, const GuestRecord& record,
                               const oci::Spec& guest, const Fd& netns, MicroVm& made);

// What the machine of a guest's newest life is: which engine and why, which kernel. None before.
struct MachineFacts {
  vm::Engine engine = vm::Engine::kKvm;
  std::string reason, kernel;
  std::uint64_t memory = 0;
  std::uint32_t processors = 0;
};
std::optional<MachineFacts> machine_facts(const Guests& guests, const GuestRecord& record);
std::optional<MachineFacts> machine_facts_in(const std::string& dir);
std::string to_json(const MachineFacts& facts);

// What the VMM left when it ended; empty when it could not.
vm::EndReport micro_vm_end(const Guests& guests, const GuestRecord& record);

}  // namespace vrun::engine
