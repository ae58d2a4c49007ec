// process.env as execve(2) gets it: each name once, the last value counts, HOME filled in.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/faults.hpp"
#include "oci/spec.hpp"

namespace vrun::process {

struct Environment {
  std::vector<std::string_view> entries;  // into process.env
  std::optional<std::string_view> path;   // value of PATH
  bool needs_home = false;                // HOME is absent or empty: entries holds none
};
Environment check_environment(const oci::Process& process, std::string_view where, Faults& faults);

}  // namespace vrun::process
