// What `run` says of its flags, in the words of a manifest: "--memory" is limits.memory there.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::engine {

struct FieldOfFlag {
  std::string_view flag, field;
};
std::span<const FieldOfFlag> fields_of_flags();

// The same text with fields in place of flags; command lines in it ("vrun update --memory ...") are
// left as they are.
std::string fields_for_flags(std::string_view text);
// Text and hint; code and step stay.
Error as_fields(Error error);

}  // namespace vrun::engine
