// YAML text to trees, with bounds: what a file may make of itself by aliases and nesting is limited
// before it is made. yaml-cpp is known to yaml.cpp alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "manifest/node.hpp"

namespace vrun::manifest {

struct YamlLimits {
  std::size_t bytes = 4U << 20U;
  std::size_t depth = 32;
  std::size_t nodes = 100000;  // aliases count as what they stand for
  std::size_t aliases = 1000;
};

// All documents of one text; empty ones are left out. Duplicate keys, keys that are no single
// value, unknown tags and broken bounds are faults; after a fault of the syntax nothing more is
// read. Merge keys ("<<") are carried out. Never throws.
std::vector<Node> read_yaml(std::string_view text, const std::string& file, Faults& faults,
                            const YamlLimits& limits = {});

}  // namespace vrun::manifest
