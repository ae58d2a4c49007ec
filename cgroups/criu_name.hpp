// How CRIU calls the v2 hierarchy in its folder of hierarchies (criu --cgroup-yard).
#pragma once

namespace vrun::cgroups {

inline constexpr const char* kCriuName = "unified";

}  // namespace vrun::cgroups
