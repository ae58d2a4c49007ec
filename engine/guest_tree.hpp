// A guest's files from outside, for copying: whether it runs or not.
#pragma once

#include <optional>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

struct GuestTree {
  // The guest's root. Of a running guest as its first process sees it, volumes included; of another
  // one a private overlay mount that goes with the descriptor. Names below it must be resolved with
  // RESOLVE_IN_ROOT: they are the guest's.
  Fd root;
  std::vector<oci::IdMapping> ids;  // how the tree shows the guest's ids
  // Of a guest that does not run: it cannot be started meanwhile (two overlays may not share one
  // upper directory).
  std::optional<LockedGuest> lock;
};
Result<GuestTree> open_guest_tree(const Guests& guests, const GuestRecord& record);

// The directory of what the guest changed.
Result<Fd> open_upper(const Guests& guests, const GuestRecord& record);

}  // namespace vrun::engine
