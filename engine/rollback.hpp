// A guest becomes again what it was at a snapshot: writable layer, configuration and, if asked,
// volumes. What it was before is gone then.
//
//   1  all that it will have is copied aside: .staged-rollback-RANDOM/{upper, work, guest.json},
//      and data/volumes/TENANT/VOLUME/restoring for each name in its file `volumes`
//   2  it is renamed to .rollback-ID, ID being the guest's: from here on the rollback has happened
//   3  each piece takes the place of the old one by rename
//
// A command killed in 1 leaves the old guest, and rubbish that the sweep of guests removes. Killed
// in 2 or 3 it leaves the new one: whoever locks the guest next, or sweeps, does what is left of 3,
// which can be begun again at any point. So no command works on a guest that is half of each.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/snapshots.hpp"

namespace vrun::engine {

struct RollbackWish {
  bool volumes = false;  // those of the snapshot, too
};
// kState while it runs, or while another running guest has a volume that would be replaced.
Result<void> roll_back(const Guests& guests, const GuestRecord& record, const std::string& snapshot,
                       const RollbackWish& wish);

// Step 3, if there is one to do; one system call when not. The guest's lock is held.
Result<void> settle_rollback(const Guests& guests, const std::string& id, const Fd& guest_dir);

// For the sweep: what the hidden directory `name` of a killed command has outside of it. A finished
// or dropped rollback needs its guest's lock.
Result<void> settle_staged(const Guests& guests, const std::string& name);

}  // namespace vrun::engine
