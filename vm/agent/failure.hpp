// An error on its way from the agent to the host (kError).
//
//   {"code": "not found", "text": "...", "hint": "...", "status": 127}
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::vm {

struct Failure {
  std::string code, text, hint;
  int status = 125;  // what a command line ends with: 125 ours, 126 not executable, 127 not found
};

std::string to_json(const Failure& failure);
// kInvalid for anything else.
Result<Failure> parse_failure(std::string_view json);

// `text` and `hint` as they stand in `error`.
Failure failure_of(const Error& error, int status);
// The other way: the same code, text and hint.
Error error_of(const Failure& failure);

}  // namespace vrun::vm
