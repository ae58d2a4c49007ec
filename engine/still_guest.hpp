// A guest whose files do not change while they are copied: one that runs stands still
// (standstill.hpp), another one cannot be started.
#pragma once

#include <memory>
#include <optional>

#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/standstill.hpp"

namespace vrun::engine {

class StillGuest {
 public:
  // kUnsupported for a guest that is nobody's but its command's (`run --rm` in the foreground).
  static Result<StillGuest> begin(const Guests& guests, const GuestRecord& record);

  const GuestRecord& record() const { return guest_->record; }
  const Fd& dir() const { return dir_; }
  bool runs() const { return still_.has_value(); }
  // kState when somebody has ended it or let it go on since: what was copied is not one picture.
  Result<void> check(const Guests& guests) const;

 private:
  StillGuest() = default;
  // Where it does not move: the standstill refers to it.
  std::unique_ptr<Guest> guest_;
  Fd dir_;
  std::optional<LockedGuest> lock_;
  std::optional<Standstill> still_;
  bool stands_ = true;  // false: nothing can make it (no root, no delegated group)
};

}  // namespace vrun::engine
