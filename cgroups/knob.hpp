// A limit as the kernel wants it: one value for one file of the container's group.
//
// What a config asks for is translated into a list of these first, as plain values (the tables are
// tested without a kernel), and written afterwards in that order.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::cgroups {

struct Write {
  std::string controller;  // "memory"
  std::string file;        // "memory.max"
  std::string value;       // "max"
  std::string where;       // "linux.resources.memory.limit"
  // The value lifts a limit: where the file is missing there is nothing to lift.
  bool lifts = false;
  // Tried again after the rest when the kernel says EINVAL now: values that are checked against
  // one another (a burst against its quota) have no order that is right for every change.
  bool retry_last = false;
};

// The present content of a file of the group, for values that depend on others.
using Reader =
    std::function<Result<std::string>(std::string_view controller, const std::string& file)>;

// A controller that the config needs, and the field that needs it.
struct Need {
  std::string controller;
  std::string where;
};
// In v2 words: "io" stands for blkio, "cpu" for cpu alone. What lifts limits needs nothing.
std::vector<Need> needed_controllers(const oci::Resources& resources);

Error unenforceable(std::string_view where, std::string_view why);

}  // namespace vrun::cgroups
