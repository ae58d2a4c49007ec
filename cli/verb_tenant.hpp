// The verbs of tenants: create, show, ls, update, freeze, thaw, stop, rm.
#pragma once

#include <string_view>

#include "cli/run.hpp"

namespace vrun::cli {

bool is_tenant_verb(std::string_view verb);
Result<int> everyday_tenant(std::string_view verb, const EverydayCall& call);

// Unknown: an error with the nearest name.
Result<void> check_tenant(const EverydayCall& call);

}  // namespace vrun::cli
