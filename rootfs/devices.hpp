// The container's /dev: device nodes, their links and the terminal.
#pragma once

#include "base/result.hpp"
#include "rootfs/plan.hpp"

namespace vrun::rootfs {

// Device nodes (the ones every container has, and linux.devices) and the usual links. None of them
// if /dev is bound from the host: those are the host's own.
Result<void> plan_devices(const oci::Spec& spec, const Options& options, const Host& host,
                          steps::Builder& builder);

}  // namespace vrun::rootfs
