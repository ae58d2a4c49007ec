// User namespace id maps (user_namespaces(7)).
#pragma once

#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::namespaces {

// Writes uid_map, setgroups and gid_map of `pid`. Root writes them itself; an unprivileged caller
// may map its own id alone, everything else goes through newuidmap and newgidmap (uid_map allows
// one write, so never both ways).
Result<void> write_id_maps(Pid pid, const std::vector<oci::IdMapping>& uids,
                           const std::vector<oci::IdMapping>& gids, const Host& host);

// True where setgroups(2) stays denied: an unprivileged single mapping without newgidmap.
bool denies_setgroups(const std::vector<oci::IdMapping>& gids, const Host& host);

// The text of a map, one line a range.
std::string to_map_text(const std::vector<oci::IdMapping>& mappings);

}  // namespace vrun::namespaces
