#include "cgroups/group.hpp"
#include "cgroups/layout.hpp"

namespace vrun::cgroups {

std::string guest_path(const std::string& tenant, const std::string& name, const Host& host) {
  return tenant_path(tenant, host) + "/" + name;
}

std::string tenant_path(const std::string& tenant, const Host& host) {
  const std::string path = "vrun/" + tenant;
  const Result<Layout> layout = find_layout(host);
  return layout && layout->v2_only() ? "/" + path : path;
}

}  // namespace vrun::cgroups
