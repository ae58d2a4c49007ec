// What QEMU may ask of the kernel: reviewed data, as jail_table.hpp.
//
// Looser than our own threads: one filter for all of QEMU's, which must also start (its loader, its
// libraries, its firmware), and whose translated code is executable memory. It starts no program
// but itself, makes no namespace, mounts, traces, loads or watches nothing.
#pragma once

#include <vector>

#include "vm/vmm/jail_table.hpp"

namespace vrun::vmm::jail {

// Sorted by number. What is not in it fails with ENOSYS: the C library and QEMU then do without
// (clone3, io_uring).
std::vector<Call> calls_of_qemu();

}  // namespace vrun::vmm::jail
