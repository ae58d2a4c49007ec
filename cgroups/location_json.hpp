// The stable text form of a Location.
#pragma once

#include "base/json_table.hpp"
#include "cgroups/group.hpp"

namespace vrun::cgroups {

constexpr auto json_fields(const Location*) {
  return json::fields(json::field("driver", &Location::driver, {.required = true}),
                      json::field("path", &Location::path), json::field("paths", &Location::paths),
                      json::field("unit", &Location::unit), json::field("slice", &Location::slice));
}

}  // namespace vrun::cgroups
