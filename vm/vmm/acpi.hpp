// The ACPI tables of our machine (ACPI 6.4): without them a stock kernel sees one processor and no
// devices. Reduced hardware: no legacy interrupt controller, no power management timer.
#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "vm/vmm/memory.hpp"

namespace vrun::vmm {

// RSDP, XSDT, FADT, MADT, MCFG and DSDT at layout::kAcpi.
Result<void> write_acpi_tables(const GuestMemory& memory, std::uint32_t processors);

}  // namespace vrun::vmm
