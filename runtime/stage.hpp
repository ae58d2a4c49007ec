// vrun-stage as a descriptor that can be executed and never written.
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::runtime {

// A sealed memory file with the stage that is built into this program. Nothing of the host's file
// system is reachable through /proc/PID/exe of what runs it (the class of CVE-2019-5736).
Result<Fd> stage_executable();

}  // namespace vrun::runtime
