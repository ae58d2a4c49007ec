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
  return kEngineNames[static_cast<std::size_t>(engine)].data();
}

Result<EngineChoice> choose_engine(const EngineFacts& facts) {
  if (facts.vmm.empty()) {  // it serves QEMU's devices as well
    return Error(Code::kUnsupported, "micro-VMs: the program vrun-vmm is missing")
        .hint("install the whole package: apt install --reinstall vrun");
  }
  if (facts.kvm.kvm == Kvm::kWorks)
    return EngineChoice{Engine::kKvm, "KVM runs stock kernels here"};
  if (!facts.qemu.empty()) return EngineChoice{Engine::kQemu, facts.kvm.reason};
  return Error(Code::kUnsupported,
               "micro-VMs: " + facts.kvm.reason + "; and there is no qemu-system-x86_64")
      .hint(remedy_of(facts.kvm.kvm) + "; or apt install qemu-system-x86");
}

}  // namespace vrun::vm
