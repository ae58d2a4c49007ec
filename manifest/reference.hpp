// The table as the reference part of docs/manifest.md.
#pragma once

#include <string>

namespace vrun::manifest {

std::string reference_text();

}  // namespace vrun::manifest
