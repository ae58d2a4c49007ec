// Writes a list of limits into a group's files.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cgroups/knob.hpp"

namespace vrun::cgroups {

struct Target {
  // The directory descriptor that has the controller's files, -1 when no hierarchy offers it.
  std::function<Result<int>(const std::string& controller)> directory;
  // The error for a file that is not there.
  std::function<Error(const Write&)> missing;
};

// In order. A missing file is an error unless the value lifts a limit; the error of any other
// failed write names the field, the file and the value.
Result<void> write_limits(const std::vector<Write>& writes, const Target& target);

// A Reader over the same target.
Reader reader_of(const Target& target);

}  // namespace vrun::cgroups
