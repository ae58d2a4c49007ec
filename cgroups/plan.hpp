// plan() and open() for a given layout of hierarchies, so that tests can use a folder of files.
#pragma once

#include <memory>

#include "cgroups/group.hpp"
#include "cgroups/layout.hpp"

namespace vrun::cgroups {

Result<std::unique_ptr<Group>> plan_in(const Request& request, const Host& host,
                                       const Layout& layout);
Result<std::unique_ptr<Group>> open_in(const Location& location, const Host& host,
                                       const Layout& layout);

}  // namespace vrun::cgroups
