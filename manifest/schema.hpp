// The table as a JSON Schema (draft 2020-12), for completion in editors.
#pragma once

#include <string>

namespace vrun::manifest {

std::string json_schema();

}  // namespace vrun::manifest
