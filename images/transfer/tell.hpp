// An error on stderr, as vrun prints errors: for verbs that vrun-image does to the end.
#pragma once

#include "base/result.hpp"

namespace vrun::images {

void tell(const Error& error);

}  // namespace vrun::images
