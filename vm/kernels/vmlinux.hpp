// The ELF inside a bzImage.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::vm {

// `file`: what a vmlinuz has (an ELF comes back as it is). kInvalid: no x86 Linux, truncated,
// damaged; kUnsupported: packed in a way that we do not know, which the kernel's own 64-bit entry
// still does.
Result<std::string> vmlinux_of(std::string_view file);

// Whether the ELF can be what a machine of x86-64 boots: kInvalid with what it is instead (elf(5)).
Result<void> check_kernel(std::string_view elf);

// "6.1.0-56-cloud-amd64", as the kernel itself says; empty where it says nothing.
std::string release_of(std::string_view file);

}  // namespace vrun::vm
