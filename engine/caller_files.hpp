// Files and variables of the user who asked. For a call of vrun-broker they are what its client
// sent (tenants/caller_files.hpp), and no path is opened; else the host's own.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "tenants/caller_files.hpp"

namespace vrun::engine {

// The descriptor under which vrun-broker hands them over, named in VRUN_CALLER_FILES.
inline constexpr int kCallerFilesFd = 3;

bool is_brokered(const Host& host);
// Before anything else is started: the descriptor goes to no other program.
void keep_caller_files(const Host& host);
// Empty where no broker is between.
Result<tenants::CallerFiles> caller_files(const Host& host);

// A regular file of at most `most` bytes.
Result<std::string> read_caller_file(const Host& host, const std::string& path, std::size_t most);
// Where `-e NAME` takes its value from.
Result<std::vector<std::string>> caller_environment(const Host& host);

}  // namespace vrun::engine
