#include "vm/engine_choice.hpp"

namespace vrun::vm {
namespace {

std::string remedy_of(Kvm kvm) {
  switch (kvm) {
    case Kvm::kAbsent:
      return "modprobe kvm_amd or kvm_intel, with virtualization on in the firmware";
    case Kvm::kRefused:
      return "run as root or join the group of /dev/kvm";
    case Kvm::kEmulates:
      return "use a machine of its own, or a virtual one with nested virtualization";
    case Kvm::kWorks:
      return "";
  }
  return "";
}

}  // namespace

const char* to_text(Engine engine) {
  return engine == Engine::kKvm ? "kvm" : "qemu";
}

Result<EngineChoice> choose_engine(const EngineFacts& facts) {
  const bool runs = facts.kvm.kvm == Kvm::kWorks;
  if (runs && !facts.vmm.empty()) return EngineChoice{Engine::kKvm, "KVM runs stock kernels here"};
  if (runs && facts.qemu.empty()) {
    return Error(Code::kUnsupported, "micro-VMs: the program vrun-vmm is missing")
        .hint("install the whole package: apt install --reinstall vrun");
  }
  const std::string why = runs ? "vrun-vmm is missing" : facts.kvm.reason;
  if (!facts.qemu.empty()) return EngineChoice{Engine::kQemu, why};
  return Error(Code::kUnsupported, "micro-VMs: " + why + "; and there is no qemu-system-x86_64")
      .hint(remedy_of(facts.kvm.kvm) + "; or apt install qemu-system-x86");
}

}  // namespace vrun::vm
