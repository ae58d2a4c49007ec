// From the specification of a container to that of a micro-VM: pure (decision 020).
//
// What keeps the guest in stays with the jail, whose process is vrun-vmm: user namespace, network
// namespace, cgroup, root file system and volumes. What the guest's own kernel does goes to the
// agent: who the process is, its rights and limits, the kernel's file systems, knobs, host name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "oci/spec.hpp"
#include "vm/engine_choice.hpp"

namespace vrun::vm {

// A second; 0: no limit.
struct DiskLimits {
  std::uint64_t read_bytes = 0, write_bytes = 0, read_operations = 0, write_operations = 0;
  bool operator==(const DiskLimits&) const = default;
};

struct HandedDisk {
  int file = -1;
  bool read_only = false;
  DiskLimits limits = {};
  std::string name = {};  // by which calls mean it
};

// Descriptors that vrun-vmm gets, under these numbers.
struct Handed {
  int program = -1;                           // vrun-vmm itself
  int kvm = -1, kernel = -1, initramfs = -1;  // for KVM
  int qemu = -1;     // for QEMU instead of those three: its folder (qemu_root.hpp)
  int run = -1;      // what the guest runs: guest_document()
  int agent = -1;    // a listening unix socket: who connects speaks to the agent
  int control = -1;  // another: who connects speaks to vrun-vmm itself (vm/vmm/control.hpp)
  int report = -1;   // an empty file for what is to be known of the guest's end (vm/report.hpp)
  int state = -1, memory = -1;  // of a saved machine, instead of kernel and initramfs
  int words = -1;               // the guest is a system on `disks`; more words for its kernel
  std::vector<HandedDisk> disks = {};
  int cards = -1;  // what network cards come by (vm/agent/cards.hpp); -1: there are none
};

struct MachineSize {
  std::uint64_t memory = 0;  // bytes the guest sees
  std::uint32_t processors = 1;
  bool operator==(const MachineSize&) const = default;
};
inline constexpr std::uint64_t kDefaultMemory = std::uint64_t{512} << 20U;
// With less a stock kernel of Debian 12 does not unpack its initramfs.
inline constexpr std::uint64_t kLeastMemory = std::uint64_t{80} << 20U;

// From the limits of the specification: its memory limit (kDefaultMemory without one) in whole
// MiB, its cpu quota in whole processors (1 without one); vm.hwConfig comes before. kInvalid for
// less than a kernel needs.
Result<MachineSize> size_of(const oci::Spec& spec);

// What the VMM needs beside the guest's memory, so that it is never the reason of an OOM kill.
std::uint64_t overhead_of(const MachineSize& size, Engine engine);

// The jail.
oci::Spec jail_of(const oci::Spec& spec, const MachineSize& size, const Handed& handed);
// A network card as the guest is to have it.
struct GuestCard {
  std::string name, mac;
  std::vector<std::string> addresses;  // "10.0.0.2/24"
  std::vector<std::string> gateways;   // of the default routes
};
// A call of the agent about one (vm/guest/calls.hpp): "add-card" or "way-out".
std::string card_call(std::string_view call, const GuestCard& card);
// What the host has no controller for and the machine holds by itself is left out of the jail's
// limits: memory and whole processors, of which it has no more, and the processes, which its kernel
// counts. What is the host's alone (swap beside the memory, a reservation, a part of a processor)
// stays, and fails.
void leave_out_own_limits(const oci::Spec& guest, const std::vector<std::string>& controllers,
                          oci::Spec& jail);
// For the agent, kRun of its protocol: a specification with what the guest does by itself.
std::string guest_document(const oci::Spec& spec, std::span<const GuestCard> cards = {});
// For a machine that goes on from a saved one instead (--run of vrun-vmm).
std::string adoption_document(const oci::Spec& spec, std::span<const GuestCard> cards = {});

}  // namespace vrun::vm
