// The limits of a config in the words of cgroup v1, for the controllers that a host still binds to
// v1 hierarchies: a table of knobs, and a few lists.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "cgroups/knob.hpp"

namespace vrun::cgroups {

// True if a v1 hierarchy has the controller (in v1 words: "blkio").
using Bound = std::function<bool(std::string_view controller)>;

// The writes for the bound controllers, in order.
Result<std::vector<Write>> legacy_writes(const oci::Resources& resources, const Bound& bound,
                                         const Reader& read);

// What is left for the v2 tree: the resources without those parts that v1 controllers take.
oci::Resources without_bound(const oci::Resources& resources, const Bound& bound);

// The v1 name of a controller that is known by its v2 name: "blkio" for "io".
std::string v1_controller(std::string_view v2_name);

// The file whose presence shows that a knob's variant is the one of this kernel.
std::string weight_file(const Reader& read);

}  // namespace vrun::cgroups
