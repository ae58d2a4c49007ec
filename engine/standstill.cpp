#include "engine/standstill.hpp"

#include <string>

#include <fcntl.h>
#include <sys/file.h>

#include "base/sys.hpp"
#include "engine/guest_life.hpp"

namespace vrun::engine {
namespace {

constexpr const char* kMark = "/standstill";

Result<void> go_on(const Guests& guests, const GuestRecord& record, const std::string& mark) {
  Result<void> resumed = pause_guest(guests, record, false);
  // It may have ended, or somebody has resumed it.
  const bool settled = resumed || resumed.error().code() == Code::kState ||
                       resumed.error().code() == Code::kNotFound;
  if (!settled) return resumed;
  return sys::unlink(At::cwd(), mark);
}

}  // namespace

Result<Standstill> Standstill::begin(const Guests& guests, const Guest& guest) {
  if (guest.status != GuestStatus::kRunning) return Standstill(guests, guest.record, Fd());
  const std::string path = guests.path_of(guest.record) + kMark;
  Fd mark = TRY(sys::open(At::cwd(), path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY(sys::lock(mark.get(), LOCK_EX | LOCK_NB, "the standstill of " + guest.record.name));
  Standstill still(guests, guest.record, std::move(mark));
  TRY(pause_guest(guests, guest.record, true));
  return still;
}

Standstill::~Standstill() {
  if (mark_) static_cast<void>(go_on(guests_, record_, guests_.path_of(record_) + kMark));
}

Result<void> end_standstills(const Guests& guests) {
  const std::string tenant = guests.places().guests(guests.tenant());
  const Result<Fd> dir = sys::open_dir(At::cwd(), tenant);
  if (!dir) return {};
  for (const std::string& name : TRY(sys::list_dir(dir->get()))) {
    const Result<Fd> mark = sys::open(*dir, name + kMark, O_RDWR | O_NOFOLLOW);
    if (!mark || ::flock(mark->get(), LOCK_EX | LOCK_NB) != 0) continue;
    const Result<Guest> guest = guests.find(name);
    if (guest) TRY(go_on(guests, guest->record, tenant + "/" + name + kMark));
  }
  return {};
}

}  // namespace vrun::engine
