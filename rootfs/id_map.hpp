// Temporary user namespaces, for mounts whose owners are mapped (mount_setattr(2),
// MOUNT_ATTR_IDMAP).
//
// A mapping is handed to the kernel as a user namespace. One is made by a child process that does
// nothing, and outlives it by its descriptor; the same mapping is made once. Needs root.
#pragma once

#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::rootfs {

class IdMaps {
 public:
  // The descriptor stays owned by this object.
  Result<int> user_namespace(const std::vector<oci::IdMapping>& uids,
                             const std::vector<oci::IdMapping>& gids);

 private:
  struct Made {
    std::vector<oci::IdMapping> uids, gids;
    Fd user_namespace;
  };
  std::vector<Made> made_;
};

}  // namespace vrun::rootfs
