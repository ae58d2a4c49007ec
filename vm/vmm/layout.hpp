// Where everything lies in the guest's physical address space.
//
//   0x00000500  GDT                      0x00007000  zero page (boot parameters)
//   0x00009000  page tables              0x00020000  command line
//   0x000e0000  ACPI tables              0x01000000  kernel (where its ELF says)
//   below 3 GiB, at the end of RAM: initrd
//   3 GiB       devices: PCI window, ECAM, IOAPIC, local APIC
//   4 GiB       the rest of RAM
#pragma once

#include <cstdint>

namespace vrun::vmm::layout {

inline constexpr std::uint64_t kPage = 4096;

inline constexpr std::uint64_t kGdt = 0x500;
inline constexpr std::uint64_t kZeroPage = 0x7000;
inline constexpr std::uint64_t kPageTables = 0x9000;  // PML4, PDPT, four page directories
inline constexpr std::uint64_t kCommandLine = 0x20000;
inline constexpr std::uint64_t kCommandLineMost = 2048;  // COMMAND_LINE_SIZE of x86
inline constexpr std::uint64_t kLowRamEnd = 0x9fc00;     // where PCs had their EBDA
inline constexpr std::uint64_t kAcpi = 0xe0000;  // the kernel scans from here for "RSD PTR "
inline constexpr std::uint64_t kAcpiEnd = 0x100000;
inline constexpr std::uint64_t kKernelFirst = 0x100000;  // nothing of a kernel may lie below

inline constexpr std::uint64_t kGap = 0xc0000000;  // RAM ends here at most, and goes on at kHighRam
inline constexpr std::uint64_t kHighRam = 0x100000000;
inline constexpr std::uint64_t kPciWindow = 0xc0000000;
inline constexpr std::uint64_t kPciWindowSize = 0x20000000;
inline constexpr std::uint64_t kEcam = 0xe0000000;  // one bus: 1 MiB
inline constexpr std::uint64_t kEcamSize = 0x100000;
inline constexpr std::uint64_t kIoApic = 0xfec00000;
inline constexpr std::uint64_t kLocalApic = 0xfee00000;
// Four pages that KVM needs on Intel processors (KVM_SET_TSS_ADDR, KVM_SET_IDENTITY_MAP_ADDR).
inline constexpr std::uint64_t kKvmIdentityMap = 0xfffbc000;
inline constexpr std::uint64_t kKvmTss = 0xfffbd000;

// Ports.
inline constexpr std::uint16_t kSerialPort = 0x3f8;
inline constexpr std::uint16_t kRtcPort = 0x70;
inline constexpr std::uint16_t kPowerPort = 0x600;  // see power.hpp
inline constexpr std::uint16_t kSlotPort = 0x604;   // see slots.hpp
inline constexpr std::uint16_t kPciPort = 0xcf8;    // configuration: address, and data behind it

// Lines of the IOAPIC.
inline constexpr std::uint32_t kSerialLine = 4;
inline constexpr std::uint32_t kEventLine = 5;  // the ACPI generic event device

}  // namespace vrun::vmm::layout
