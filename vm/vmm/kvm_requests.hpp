// Requests of /dev/kvm whose numbers <linux/kvm.h> gets wrong in C++.
//
// Their structs (kvm_cpuid2, kvm_msrs, kvm_msr_list, kvm_xsave) end in an array without a length.
// An empty struct has a size in C++, so they are larger than what the kernel means, and with them
// the numbers. A block is written as a header (a count, four bytes, but for the list) and the
// entries.
#pragma once

#include <cstddef>

#include <linux/kvm.h>

namespace vrun::vmm {

inline constexpr std::size_t kKvmHeader = 8;
inline constexpr std::size_t kXsave = 4096;  // a larger one: KVM_CAP_XSAVE2

inline constexpr unsigned long kGetSupportedCpuid =
    _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, kKvmHeader);
inline constexpr unsigned long kSetCpuid = _IOC(_IOC_WRITE, KVMIO, 0x90, kKvmHeader);
inline constexpr unsigned long kGetMsrIndexList = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x02, 4);
inline constexpr unsigned long kGetMsrs = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x88, kKvmHeader);
inline constexpr unsigned long kSetMsrs = _IOC(_IOC_WRITE, KVMIO, 0x89, kKvmHeader);
inline constexpr unsigned long kGetXsave = _IOC(_IOC_READ, KVMIO, 0xa4, kXsave);
inline constexpr unsigned long kSetXsave = _IOC(_IOC_WRITE, KVMIO, 0xa5, kXsave);
inline constexpr unsigned long kGetXsave2 = _IOC(_IOC_READ, KVMIO, 0xcf, kXsave);

}  // namespace vrun::vmm
