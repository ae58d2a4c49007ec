// `vrun update`: limits of a guest changed while it runs, and kept for its next starts.
#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/request.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

// What is to change: the members of RunRequest that `update` has flags for; empty ones stay as they
// are. "-1" of memory, cpus, pids_limit and the bandwidths takes the limit away. `restart` too.
struct Update {
  RunRequest request;  // as it is with the changes
  oci::Resources resources;
};
// Pure but for block devices, which are looked up. Faults name the flag.
Result<Update> plan_update(const RunRequest& now, RunRequest changes);

// Nothing is kept when the kernel refuses the new limits.
Result<void> update_guest(const Guests& guests, const GuestRecord& record,
                          const RunRequest& changes);

}  // namespace vrun::engine
