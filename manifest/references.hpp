// What one object says of another: names that are nowhere, circles.
#pragma once

#include <span>
#include <string>

#include "manifest/reader.hpp"

namespace vrun::manifest {

// `known`: "Kind/name" of what is there already.
void check_references(const std::vector<Object>& objects, std::span<const std::string> known,
                      Faults& faults);

}  // namespace vrun::manifest
