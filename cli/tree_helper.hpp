// vrun-image beside this process, for one end of a `cp` that comes or goes through a pipe.
#pragma once

#include <array>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "images/tree_request.hpp"
#include "tenants/caller_files.hpp"

namespace vrun::cli {

// The end to read from, then the one to write to. Both close at exec.
Result<std::array<Fd, 2>> make_pipe();

// `mine`: the descriptor that becomes its stdin or stdout (`as`). Answers the process.
Result<Fd> start_tree_helper(const char* verb, const images::TreeRequest& request, const Fd& mine,
                             int as);

// What a file or directory of the host is called at the other end (empty: what is in it is meant),
// and whether it is a directory.
Result<tenants::CallerCopy> describe_source(const std::string& path, bool follow);

}  // namespace vrun::cli
