// Are two trees the same? For layers, which nothing may change once they are unpacked.
#pragma once

#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::images {

// Empty when `found` is as `wanted`: names, kinds, modes, owners, sizes, times, link targets,
// devices, extended attributes, which names are one file, and content. Else the first difference in
// words: "'etc/passwd' is missing". No link is followed.
Result<std::optional<std::string>> first_difference(const Fd& wanted, const Fd& found);

}  // namespace vrun::images
