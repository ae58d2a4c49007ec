// Can this host's KVM run a stock kernel? Found out by running a guest of two instructions.
//
// A paravirtual KVM (pvm and its like, in virtual machines without nested virtualization) opens,
// answers the same API version and runs guests at ring 3, but emulates ring 0 instruction by
// instruction. Stock kernels use instructions early that KVM's emulator does not know; the run ends
// there with KVM_EXIT_INTERNAL_ERROR. No flag of the cpu says so for sure: svm and vmx are also
// missing where a hypervisor hides them. So the probe executes such an instruction (cmpxchg16b) at
// ring 0 in long mode. It takes about a millisecond and leaves nothing behind.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.hpp"

namespace vrun::vm {

enum class Kvm : std::uint8_t {
  kAbsent,    // no such device
  kRefused,   // it does not open, or is no KVM that we know
  kEmulates,  // ring 0 is emulated: no stock kernel
  kWorks,
};
const char* to_text(Kvm kvm);

struct KvmFacts {
  Kvm kvm = Kvm::kAbsent;
  std::string reason;  // why not kWorks
};

KvmFacts probe_kvm(const std::string& device = "/dev/kvm");

}  // namespace vrun::vm
