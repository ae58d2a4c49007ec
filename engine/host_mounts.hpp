// Directories of the host in guests of tenants: whose files are theirs.
//
// Usually a guest's id N is the host's id N in what is mounted, its root is root. Whoever may write
// there as root could leave a set-user-id program of root's behind, which anybody on the host may
// run. So for what a tenant's guest may write, on file systems that honour such programs:
//
//   the guest's root    is the owner of what is mounted (user and group)
//   its other ids       are ids of the tenant's own, the same for all its guests
//
// and nothing is the host's root: what belongs to root is, in the guest, nobody's.
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"
#include "tenants/record.hpp"

namespace vrun::engine {

// `source`: what is mounted, opened. Changes the id mappings of `mount` where that is needed; says
// so, as a warning, where the guest's root can therefore not write.
Result<void> keep_owners(const tenants::Tenant& tenant, const Fd& source, const oci::Spec& spec,
                         oci::Mount& mount);

}  // namespace vrun::engine
