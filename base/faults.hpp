// Collects the faults of one input, so that its author sees them all at once.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun {

class Faults {
 public:
  // One line a fault: "process.rlimits[0].type: 'RLIMIT_X' is not a resource limit".
  void add(std::string_view where, std::string_view text) {
    if (!lines_.empty()) lines_ += '\n';
    lines_.append(where).append(": ").append(text);
  }
  bool empty() const { return lines_.empty(); }

  // Success without faults, else one error (Code::kInvalid) with a line for each.
  Result<void> result() const {
    if (lines_.empty()) return {};
    return Error(Code::kInvalid, lines_);
  }

 private:
  std::string lines_;
};

}  // namespace vrun
