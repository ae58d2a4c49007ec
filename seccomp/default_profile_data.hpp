// default_profile.json as it was at build time (generated: see CMakeLists.txt).
#pragma once

#include <string_view>

namespace vrun::seccomp {

extern const std::string_view kDefaultProfile;

}  // namespace vrun::seccomp
