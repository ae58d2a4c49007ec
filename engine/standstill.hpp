// A guest that stands still while it is copied, and goes on whatever happens to who copies it.
//
// run/standstills/TENANT/ID is locked (flock) by who paused the guest, for as long as it lives. A
// file with a free lock was left by a killed one: the next command lets the guest go on. Of a
// micro-VM the programs stand still first, and what they wrote is in its files.
#pragma once

#include <utility>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/agent_freeze.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

class Standstill {
 public:
  // One that does not run, or was paused before, is left as it is.
  static Result<Standstill> begin(const Guests& guests, const Guest& guest);
  Standstill(Standstill&& other) noexcept
      : guests_(other.guests_),
        record_(other.record_),
        mark_(std::move(other.mark_)),
        programs_(std::move(other.programs_)) {}
  Standstill(const Standstill&) = delete;
  Standstill& operator=(const Standstill&) = delete;
  Standstill& operator=(Standstill&&) = delete;
  ~Standstill();

 private:
  Standstill(const Guests& guests, const GuestRecord& record, Fd mark)
      : guests_(guests), record_(record), mark_(std::move(mark)) {}
  const Guests& guests_;
  const GuestRecord& record_;
  Fd mark_;  // none: nothing to undo
  AgentFreeze programs_;
};

// Lets go on what killed commands left standing.
Result<void> end_standstills(const Guests& guests);

}  // namespace vrun::engine
