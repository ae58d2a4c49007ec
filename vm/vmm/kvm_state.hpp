// What KVM keeps of a machine, for snapshots: its processors, interrupt controllers and clock.
//
// All of it while no processor is in KVM_RUN and each has finished what it had begun
// (Documentation/virt/kvm/api.rst, "5. The kvm_run structure").
#pragma once

#include "base/result.hpp"
#include "vm/vmm/kvm.hpp"
#include "vm/vmm/state.hpp"

namespace vrun::vmm {

// What guests see of the processor must be the same where the machine goes on.
void save_features(const Vm& vm, StateWriter& to);
// kUnsupported when this host's processor is another.
Result<void> check_features(const Vm& vm, StateReader& from);

Result<void> save_processor(const Vm& vm, const Vcpu& vcpu, StateWriter& to);
// Of a processor that prepare_processor() has made.
Result<void> load_processor(const Vm& vm, const Vcpu& vcpu, StateReader& from);

Result<void> save_controllers(const Vm& vm, StateWriter& to);
// The guest's clock goes on from where it stood.
Result<void> load_controllers(const Vm& vm, StateReader& from);

// Tells a guest's kernel that it stood still, so that it takes that for no hang.
void note_standstill(const Vcpu& vcpu);

}  // namespace vrun::vmm
