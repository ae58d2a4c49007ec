// Where the helper executables are (vrun-image, vrun-net, vrun-systemd ...): programs that need
// libraries which the static binary does without, run only for the verbs that need them.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun {

// The absolute path of helper `name`: beside the running executable (a build tree), in
// ../libexec/vrun from there (an installation), or in the directory given at build time. Never
// from PATH or the working directory: those belong to the caller.
Result<std::string> helper_path(std::string_view name);

}  // namespace vrun
