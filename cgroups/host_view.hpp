// What a host offers for limiting guests, in words that do not depend on how it is mounted: for
// `doctor` and `info`.
#pragma once

#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"

namespace vrun::cgroups {

struct HostView {
  bool has_tree = false;                 // cgroup v2 is mounted: freeze, kill, device filter
  bool one_tree = false;                 // and every controller is in it
  std::vector<std::string> controllers;  // sorted, wherever they are; "blkio" is called "io"
  std::string words;                     // "cgroup v2", "cgroup v2 beside v1 hierarchies", ...
};
HostView look_at(const Host& host);

// Makes a group where guests of `tenant` get theirs, and removes it.
Result<void> try_group(const std::string& tenant, const Host& host);

}  // namespace vrun::cgroups
