// What of a running container lies outside of it, and so is not CRIU's to save: bind mounts,
// namespaces joined by path, stdio. CRIU has to be told of each by a key under which the restore
// then supplies another one.
#pragma once

#include <string>
#include <vector>

#include "base/id.hpp"
#include "base/result.hpp"
#include "cgroups/group.hpp"
#include "oci/spec.hpp"
#include "runtime/criu/order.hpp"

namespace vrun::runtime {

struct Outside {
  std::vector<criu::Pair> mounts;      // key and value: the mount point
  std::vector<std::string> externals;  // "net[4026531840]:extRootNetNS"
  // The process's stdin, stdout and stderr: what a restore has to supply again. Kept beside the
  // images as runc does.
  std::vector<std::string> stdio;
};

Result<Outside> look_outside(const oci::Spec& spec, Pid pid, bool shell_job);

// The other half: what stands for these things at a restore.
struct Supplies {
  std::vector<criu::Pair> mounts;  // masks and device nodes of the host
  std::vector<criu::TreeMount> tree;
  std::vector<criu::InheritedFd> inherited;
  std::vector<criu::Pair> joined;
  std::vector<Fd> descriptors;  // keeps those of `inherited` open
};

// `stdio`: as look_outside() said; ours are given in their place. `bundle`: what relative sources
// start at.
Result<Supplies> supply(const oci::Spec& spec, const std::string& bundle,
                        const cgroups::Group& group, const std::vector<std::string>& stdio);

// What CRIU cannot bring back as the config has it.
Result<void> check_restorable(const oci::Spec& spec);

}  // namespace vrun::runtime
