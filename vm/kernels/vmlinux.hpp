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

// "6.1.0-56-cloud-amd64", as the kernel itself says; empty where it says nothing.
std::string release_of(std::string_view file);

}  // namespace vrun::vm
