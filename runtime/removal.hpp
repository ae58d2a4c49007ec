// How a container ends for good.
#pragma once

#include "base/host.hpp"
#include "base/result.hpp"
#include "runtime/record.hpp"

namespace vrun::runtime {

// Kills what is left, removes cgroup and folder, runs the poststop hooks (their failure is logged,
// as the specification demands). Works from the intent record alone. The caller holds the folder's
// lock.
Result<void> remove_container(Folder& folder, const Folder::Loaded& loaded, const Host& host);

}  // namespace vrun::runtime
