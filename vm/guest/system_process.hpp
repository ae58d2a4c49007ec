// A process in a system with an init of its own: beside the others, in the system's own namespaces.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"
#include "vm/guest/process.hpp"
#include "vm/guest/request.hpp"

namespace vrun::vm {

// What runtime::exec() does in a guest of ours: the program of `request`, found by the PATH of its
// environment, leads a session of its own, with the user's ids (root without one) and `pipes` or a
// new terminal (`console`) as its streams. Its rights are those that the user has in the system:
// kUnsupported for capabilities and no_new_privileges. The error of the program has the step by
// which a command line ends with 126 or 127 (status_of).
Result<sys::Child> start_in_system(const ExecRequest& request, const Pipes& pipes, Fd& console);

}  // namespace vrun::vm
