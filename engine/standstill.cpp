#include "engine/standstill.hpp"

#include <string>

#include <fcntl.h>
#include <sys/file.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "engine/disk.hpp"
#include "engine/guest_life.hpp"
#include "engine/micro_vm.hpp"

namespace vrun::engine {
namespace {

// With the paused guests goes what says that they are.
std::string marks_dir(const Guests& guests) {
  return guests.places().run + "/standstills/" + guests.tenant();
}

Result<void> go_on(const Guests& guests, const GuestRecord& record, const std::string& mark) {
  Result<void> resumed = pause_guest(guests, record, false);
  // It may have ended, or somebody has resumed it.
  const bool settled = resumed || resumed.error().code() == Code::kState ||
                       resumed.error().code() == Code::kNotFound ||
                       resumed.error().code() == Code::kUnsupported;
  if (!settled) return resumed;
  return sys::unlink(At::cwd(), mark);
}

// A machine that does not answer is taken as one that lost power.
AgentFreeze stop_programs(const Guests& guests, const GuestRecord& record) {
  if (!is_micro_vm(record.request) || is_disk_guest(record.request)) return {};
  Result<AgentFreeze> freeze = AgentFreeze::begin(guests, record);
  if (freeze) return *std::move(freeze);
  log::warning("guest " + record.name + ": what its programs wrote to mapped files a moment ago " +
               "may be missing: " + freeze.error().text());
  return {};
}

}  // namespace

Result<Standstill> Standstill::begin(const Guests& guests, const Guest& guest) {
  if (guest.status != GuestStatus::kRunning) return Standstill(guests, guest.record, Fd());
  TRY(fs::make_dirs(At::cwd(), marks_dir(guests), 0700));
  const std::string path = marks_dir(guests) + "/" + guest.record.id;
  Fd mark = TRY(sys::open(At::cwd(), path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY(sys::lock(mark.get(), LOCK_EX | LOCK_NB, "the standstill of " + guest.record.name));
  Standstill still(guests, guest.record, std::move(mark));
  still.programs_ = stop_programs(guests, guest.record);
  Result<void> paused = pause_guest(guests, guest.record, true);
  // Without root and a delegated cgroup nothing can stand still.
  const bool goes_on =
      !paused && guests.host().nested() && paused.error().code() == Code::kUnsupported;
  if (goes_on) {
    if (!still.programs_) log::warning("the guest goes on meanwhile: " + paused.error().text());
    paused = {};
  }
  if (!paused) return std::move(paused).error();
  return still;
}

Standstill::~Standstill() {
  if (mark_) static_cast<void>(go_on(guests_, record_, marks_dir(guests_) + "/" + record_.id));
}

Result<void> end_standstills(const Guests& guests) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), marks_dir(guests));
  if (!dir) return {};
  for (const std::string& id : TRY(sys::list_dir(dir->get()))) {
    const Result<Fd> mark = sys::open(*dir, id, O_RDWR | O_NOFOLLOW);
    if (!mark || ::flock(mark->get(), LOCK_EX | LOCK_NB) != 0) continue;
    const Result<Guest> guest = guests.find(id);
    const std::string path = marks_dir(guests) + "/" + id;
    TRY(guest ? go_on(guests, guest->record, path) : sys::unlink(At::cwd(), path));
  }
  return {};
}

}  // namespace vrun::engine
