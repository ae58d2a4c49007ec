#include "cgroups/host_view.hpp"

#include <algorithm>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/text.hpp"
#include "cgroups/group.hpp"
#include "cgroups/layout.hpp"

namespace vrun::cgroups {
namespace {

void add_words(const std::string& text, std::vector<std::string>& names) {
  for (const std::string_view word : split(trim(text), ' ')) {
    if (!word.empty()) names.emplace_back(word);
  }
}

}  // namespace

HostView look_at(const Host& host) {
  HostView view;
  const Result<Layout> layout = find_layout(host);
  if (!layout || (layout->v2_mount.empty() && layout->v1.empty())) {
    view.words = "none";
    return view;
  }
  view.has_tree = !layout->v2_mount.empty();
  view.one_tree = layout->v2_only();
  view.words = view.one_tree   ? "cgroup v2"
               : view.has_tree ? "cgroup v2 beside v1 hierarchies"
                               : "cgroup v1";
  if (view.has_tree) {
    add_words(fs::read_file(At::cwd(), fs::join(layout->v2_mount, "cgroup.controllers"), 4096)
                  .value_or(""),
              view.controllers);
  }
  for (const V1Hierarchy& hierarchy : layout->v1) {
    for (const std::string& name : hierarchy.controllers) {
      if (!name.starts_with("name=")) view.controllers.push_back(name == "blkio" ? "io" : name);
    }
  }
  std::sort(view.controllers.begin(), view.controllers.end());
  view.controllers.erase(std::unique(view.controllers.begin(), view.controllers.end()),
                         view.controllers.end());
  return view;
}

Result<void> try_group(const std::string& tenant, const Host& host) {
  const std::string name = "doctor-" + std::to_string(::getpid());
  ContainerId id = TRY(ContainerId::parse(name));
  Request request{
      .cgroups_path = guest_path(tenant, name, host), .id = std::move(id), .annotations = {}};
  const std::unique_ptr<Group> group = TRY(plan(request, host));
  Result<void> made = group->create();
  Result<void> gone = group->destroy();
  return made ? std::move(gone) : std::move(made);
}

}  // namespace vrun::cgroups
