// Cuts the output of ps(1) down to some processes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/id.hpp"
#include "base/result.hpp"

namespace vrun::cli {

// The heading and the lines whose PID column names one of `pids`. An error when the heading has no
// PID column (ps options of the user's that print none). Control characters come out escaped: the
// processes of a container choose their own names.
Result<std::string> ps_table(std::string_view output, const std::vector<Pid>& pids);

// What ps(1) prints with these options ("-ef" without any), for all processes of the host.
Result<std::string> run_ps(const std::vector<std::string>& options,
                           const std::vector<std::string>& env);

}  // namespace vrun::cli
