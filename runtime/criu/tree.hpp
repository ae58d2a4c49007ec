// The container's file tree as CRIU wants it before a restore.
//
// CRIU needs the root as a mount point, and every mount point of the container has to be there: on
// another machine, or with a fresh copy of the image, some may be missing. This is done in a
// private mount namespace of the helper, so that nothing of it is seen on the host or left behind.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "runtime/criu/order.hpp"

namespace vrun::criu {

struct Tree {
  std::string root;            // where the root file system is mounted now
  std::vector<Pair> external;  // path inside -> source, for each bind mount
};

// Into a private mount namespace, with the folders behind `fds`: a folder opened outside is no
// place to mount on, and CRIU mounts things in its work folder.
Result<void> leave_mounts_of_host(const std::vector<int>& fds);

// Fills the folder order.cgroup_yard, which is there and empty: with links for a dump, with mounts
// for a restore, as restored processes look from another root. The latter needs a private mount
// namespace.
Result<void> prepare_cgroups(const Order& order);

// Mount points are made and looked up beneath the root only, links included.
Result<Tree> prepare_tree(const std::string& root, const std::vector<TreeMount>& mounts);

}  // namespace vrun::criu
