// The initramfs of a guest: the agent as /init, and the modules that it loads.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::vm {

// `modules`: /lib/modules/RELEASE. The archive has /init = `agent` and /modules/NN-name.ko,
// unpacked, in the order of loading. kNotFound: the kernel has not what a guest cannot do without.
Result<std::string> make_initramfs(const Fd& modules, std::string_view agent);

}  // namespace vrun::vm
