// Guests with --isolation vm: the sandbox is that of a container, its process is vrun-vmm, and the
// image's program runs in the guest's own kernel (decision 020).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/monitor_call.hpp"
#include "engine/request.hpp"
#include "oci/spec.hpp"
#include "vm/engine_choice.hpp"
#include "vm/kernel_shelf.hpp"

namespace vrun::engine {

inline bool is_micro_vm(const RunRequest& request) {
  return request.isolation == "vm";
}

// kUnsupported for what is not built for micro-VMs yet: "pause", "debug".
Result<void> refuse_for_micro_vm(const RunRequest& request, std::string_view verb);

// All flags at once that a micro-VM cannot have, each with its reason; one table.
Result<void> check_micro_vm(const RunRequest& request, bool rootless);

// What this host has for micro-VMs. Tries KVM, which takes about a millisecond.
vm::EngineFacts micro_vm_facts(const Host& host);
vm::KernelPlaces kernel_places(const Places& places);

// All that a start needs: open, and handed to vrun-vmm under these numbers.
struct MicroVm {
  oci::Spec jail;
  Fd program, kvm, kernel, initramfs, run, agent;
  Fd cards, send_cards;  // the two ends of what network cards go by; empty without a network
  std::vector<int> handed() const;
};
// `guest`: the specification that a container would have. Leaves in the monitor's directory the
// socket `agent`, and `vm.json`: the guest's own specification, which exec starts from.
Result<MicroVm> make_micro_vm(const Guests& guests, const MonitorPlace& place,
                              const RunRequest& request, const oci::Spec& guest);
// When the sandbox is there and joined to its networks (attach_network()): says what the guest
// runs, and sends it a card for each interface. The VMM waits for it.
Result<void> complete_micro_vm(const Guests& guests, const GuestRecord& record,
                               const oci::Spec& guest, const Fd& netns, MicroVm& made);

}  // namespace vrun::engine
