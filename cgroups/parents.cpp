#include "cgroups/parents.hpp"

#include <algorithm>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/knob.hpp"
#include "cgroups/layout.hpp"
#include "cgroups/legacy_knobs.hpp"
#include "cgroups/tree.hpp"

namespace vrun::cgroups {
namespace {

const V1Hierarchy* find_v1(const Layout& layout, std::string_view controller) {
  const auto found = std::find_if(layout.v1.begin(), layout.v1.end(),
                                  [&](const V1Hierarchy& one) { return one.has(controller); });
  return found == layout.v1.end() ? nullptr : &*found;
}

// v1 throttles each group by itself: the limit of a parent does not reach the groups below it
// (blkio-controller, "Throttling": hierarchical on the default hierarchy only).
std::string why_not_v1(std::string_view controller) {
  if (controller != "io") return {};
  return "the blkio controller of this host limits each group by itself, not a parent with all "
         "below it";
}

std::string why_not(const Layout& layout, std::string_view controller) {
  if (find_v1(layout, v1_controller(controller)) != nullptr) return why_not_v1(controller);
  if (!layout.v2_mount.empty()) {
    const std::vector<std::string> offered =
        read_words(At::cwd(), fs::join(layout.v2_mount, "cgroup.controllers"));
    if (std::find(offered.begin(), offered.end(), controller) != offered.end()) return {};
  }
  return "this host has no cgroup controller " + std::string(controller);
}

}  // namespace

std::vector<NotShared> not_shared(const oci::Resources& limits, const Host& host) {
  std::vector<NotShared> faults;
  const Layout layout = find_layout(host).value_or(Layout());
  for (const Need& need : needed_controllers(limits)) {
    std::string why = why_not(layout, need.controller);
    if (!why.empty()) faults.push_back({need.where, std::move(why)});
  }
  return faults;
}

// cpu_cfs_quota of v1: tg_cfs_schedulable_down() answers EINVAL; cpu.max takes the minimum.
bool quota_must_fit_parent(const Host& host) {
  const Layout layout = find_layout(host).value_or(Layout());
  return find_v1(layout, "cpu") != nullptr;
}

}  // namespace vrun::cgroups
