// Limits as people write them, to those of the runtime specification.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "engine/request.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

// --memory "512m" (memory and swap together), --cpus "1.5", --pids-limit "100".
// All faults at once are not worth it here: the first one names its flag.
Result<oci::Resources> to_resources(const RunRequest& request);

// --cpus and --cpuset-cpus against the CPUs that are there: "0-1,4" as the kernel writes them.
Result<void> check_cpus(const RunRequest& request, std::string_view online);
// The same for this host.
Result<void> check_host_cpus(const RunRequest& request);

}  // namespace vrun::engine
