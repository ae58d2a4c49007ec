// The state in which a processor starts.
#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "vm/vmm/kvm.hpp"
#include "vm/vmm/memory.hpp"

namespace vrun::vmm {

// Features (with its place among `count` processors) and registers of every processor; those but
// the first wait for the guest to start them.
Result<void> prepare_processor(const Vm& vm, const Vcpu& vcpu, std::uint32_t count);

// The tables that the first processor needs for 64-bit mode, in the guest's memory.
Result<void> write_boot_tables(const GuestMemory& memory);
// The first processor enters the kernel at `entry` as Documentation/x86/boot.rst asks ("64-bit boot
// protocol"): long mode, the first 4 GiB mapped one to one, rsi on the zero page.
Result<void> enter_kernel(const Vcpu& vcpu, std::uint64_t entry);

}  // namespace vrun::vmm
