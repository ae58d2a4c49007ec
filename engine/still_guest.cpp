#include "engine/still_guest.hpp"

#include <fcntl.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

Error changed(const GuestRecord& record, const char* how) {
  return Error(Code::kState, "guest " + quote(record.name) + " " + how + " while it was copied")
      .hint("try again");
}

// By its name first, which is one look; it may have been renamed.
Result<Guest> look_again(const Guests& guests, const GuestRecord& record) {
  Result<Guest> guest = guests.find(record.name);
  if (guest && guest->record.id == record.id) return guest;
  return guests.find(record.id);
}

}  // namespace

Result<StillGuest> StillGuest::begin(const Guests& guests, const GuestRecord& record) {
  StillGuest still;
  {
    LockedGuest locked = TRY(guests.lock(record));
    still.dir_ = TRY(sys::open_dir(locked.dir(), "."));
    if (!sys::stat(locked.dir(), "kept", AT_SYMLINK_NOFOLLOW)) {
      return Error(Code::kUnsupported,
                   "guest " + quote(record.name) + " goes with the command that runs it (run --rm)")
          .hint("guests made by `run --detach` or `create` can be copied");
    }
    still.guest_ = std::make_unique<Guest>(locked.guest);
    if (!still.guest_->runs()) {
      still.lock_.emplace(std::move(locked));
      return still;
    }
  }
  // Not under the guest's lock, which pausing takes itself.
  still.still_.emplace(TRY(Standstill::begin(guests, *still.guest_)));
  const Guest now = TRY(look_again(guests, still.guest_->record));
  still.stands_ = now.status == GuestStatus::kPaused;
  if (!now.runs() || now.pid.value != still.guest_->pid.value) {
    return changed(still.guest_->record, "ended");
  }
  still.guest_->record = now.record;  // as it is now that nothing moves
  return still;
}

Result<void> StillGuest::check(const Guests& guests) const {
  if (lock_) return {};
  const Result<Guest> now = look_again(guests, guest_->record);
  if (!now || !now->runs() || now->pid.value != guest_->pid.value) {
    return changed(guest_->record, "ended");
  }
  if (stands_ && now->status != GuestStatus::kPaused) {
    return changed(guest_->record, "was let go on");
  }
  return {};
}

}  // namespace vrun::engine
