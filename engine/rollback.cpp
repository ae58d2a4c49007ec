#include "engine/rollback.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/checkpoint.hpp"
#include "engine/events.hpp"
#include "engine/held_signals.hpp"
#include "engine/staged_dir.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/tenant_policy.hpp"
#include "engine/tree_copy.hpp"
#include "engine/volume_store.hpp"
#include "engine/volumes.hpp"

namespace vrun::engine {
namespace {

constexpr std::string_view kPending = ".rollback-";
constexpr const char* kVolumeList = "volumes";
constexpr const char* kRestoring = "restoring";
constexpr const char* kReplaced = "replaced";
constexpr std::size_t kListBytes = 1U << 20U;

bool is_there(const Fd& dir, const std::string& name) {
  return sys::stat(dir, name, AT_SYMLINK_NOFOLLOW).has_value();
}

// `from`/`fresh` becomes `at`/`name`, and what was there `from`/`old`. Nothing to do when `fresh`
// is gone, which is what this does last.
Result<void> take_place(const Fd& from, const std::string& fresh, const Fd& at,
                        const std::string& name, const std::string& old) {
  if (!is_there(from, fresh)) return {};
  if (is_there(at, name)) TRY(sys::rename(at, name, from, old));
  return sys::rename(from, fresh, at, name);
}

Result<std::vector<std::string>> volumes_of(const Fd& staged) {
  const Result<std::string> text =
      fs::read_file(staged, kVolumeList, kListBytes, fs::Kind::kRegularOnly);
  std::vector<std::string> names;
  if (!text && text.error().code() == Code::kNotFound) return names;
  if (!text) return Error(text.error().code(), text.error().text());
  for (const std::string_view name : split(*text, '\n')) {
    if (is_volume_name(name)) names.emplace_back(name);
  }
  return names;
}

Result<void> place_volume(const Guests& guests, const std::string& name) {
  Result<Fd> volume = lock_volume(guests, name);
  if (!volume && volume.error().code() == Code::kNotFound) return {};  // somebody removed it since
  const Fd dir = TRY(std::move(volume));
  TRY(take_place(dir, kRestoring, dir, "data", kReplaced));
  return fs::remove_tree(dir, kReplaced);
}

Result<void> check_idle(const LockedGuest& locked) {
  using enum GuestStatus;
  const GuestStatus status = locked.guest.status;
  if (status == kCreated || status == kExited) return {};
  return Error(Code::kState, "guest " + quote(locked.guest.record.name) + " is " + to_text(status))
      .hint("stop it first, or use snapshot rollback --restart");
}

// Of another running guest the files would change beneath its feet.
Result<void> check_volume_users(const Guests& guests, const GuestRecord& record,
                                const Snapshot& facts) {
  const VolumeUsers users = TRY(volume_users(guests));
  for (const SnapshotVolume& volume : facts.volumes) {
    const auto found = users.find(volume.name);
    if (found == users.end()) continue;
    for (const std::string& name : found->second) {
      const Result<Guest> guest = guests.find(name);
      if (!guest || guest->record.id == record.id || !guest->runs()) continue;
      return Error(Code::kState, "volume " + quote(volume.name) + " is in use by guest " + name)
          .hint("stop it first, or roll back without --volumes");
    }
  }
  return {};
}

Result<void> restore_volume(const Guests& guests, const SnapshotVolume& volume, const Fd& from,
                            bool anonymous) {
  Volume wanted;
  wanted.name = volume.name;
  wanted.anonymous = anonymous;
  TRY(make_volume(guests, std::move(wanted)));  // it may have been removed since
  const Fd dir = TRY(lock_volume(guests, volume.name));
  TRY(fs::remove_tree(dir, kRestoring));
  TRY(sys::make_dir(dir, kRestoring, 0755));
  const Fd to = TRY(sys::open_dir(dir, kRestoring));
  TRY(copy_tree_exactly(from, to));
  if (::syncfs(dir.get()) != 0) return Error::system(errno, "write volume");
  return {};
}

bool is_anonymous(const GuestRecord& record, const std::string& volume) {
  for (const VolumeUse& use : record.volumes) {
    if (use.name == volume) return use.anonymous;
  }
  return false;
}

Result<void> stage_volumes(const Guests& guests, const OpenSnapshot& snapshot,
                           const StagedDir& staged) {
  std::string names;
  for (const SnapshotVolume& volume : snapshot.facts.volumes)
    names += volume.name + "\n";
  // Before there is anything of them to find.
  TRY(fs::replace_file(staged.dir(), kVolumeList, names));
  for (std::size_t i = 0; i < snapshot.facts.volumes.size(); ++i) {
    const SnapshotVolume& volume = snapshot.facts.volumes[i];
    const Fd from = TRY(sys::open_dir(snapshot.dir, "volumes/" + std::to_string(i)));
    Result<void> restored =
        restore_volume(guests, volume, from, is_anonymous(snapshot.record, volume.name));
    if (!restored) return std::move(restored).error().during("volume " + quote(volume.name));
  }
  return {};
}

void drop_volumes(const Guests& guests, const Fd& staged) {
  const auto names = volumes_of(staged);
  if (!names) return;
  for (const std::string& name : *names) {
    const Result<Fd> dir =
        sys::open_dir(At::cwd(), volume_dir(guests.places(), guests.tenant(), name));
    // Whoever has the lock is at work on a copy of his own, and began with a clean place.
    if (!dir || ::flock(dir->get(), LOCK_EX | LOCK_NB) != 0) continue;
    static_cast<void>(fs::remove_tree(*dir, kRestoring));
  }
}

// The configuration of then, with what is the guest's own whatever happens to it.
GuestRecord record_of_then(const GuestRecord& now, const GuestRecord& then) {
  GuestRecord record = now;
  record.request = then.request;
  record.volumes = then.volumes;
  return record;
}

Result<void> stage(const Guests& guests, const LockedGuest& locked, const OpenSnapshot& snapshot,
                   const RollbackWish& wish, StagedDir& staged) {
  const Fd upper = TRY(staged.make("upper"));
  TRY(sys::make_dir(staged.dir(), "work", 0700));
  const Fd from = TRY(sys::open_dir(snapshot.dir, "upper"));
  TRY(copy_tree_exactly(from, upper));
  const GuestRecord record = record_of_then(locked.guest.record, snapshot.record);
  TRY(check_wishes(guests, record.request));
  TRY(fs::replace_file(staged.dir(), "guest.json", to_json(record)));
  if (wish.volumes) TRY(stage_volumes(guests, snapshot, staged));
  return {};
}

}  // namespace

Result<void> settle_rollback(const Guests& guests, const std::string& id, const Fd& guest_dir) {
  const std::string parent_path = guests.places().guests(guests.tenant());
  const std::string name = std::string(kPending) + id;
  if (::faccessat(AT_FDCWD, (parent_path + "/" + name).c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
    return {};
  }
  const Fd parent = TRY(sys::open_dir(At::cwd(), parent_path));
  const Fd staged = TRY(sys::open(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(take_place(staged, "upper", guest_dir, "upper", "old-upper"));
  TRY(take_place(staged, "work", guest_dir, "work", "old-work"));
  for (const std::string& volume : TRY(volumes_of(staged)))
    TRY(place_volume(guests, volume));
  if (is_there(staged, "guest.json")) {
    TRY(sys::rename(staged, "guest.json", guest_dir, "guest.json"));
  }
  const std::string aside = ".removing-" + name;
  TRY(fs::remove_tree(parent, aside));
  TRY(sys::rename(parent, name, parent, aside));
  // What is old need not hold up anybody: the sweep removes what is left of it.
  static_cast<void>(fs::remove_tree(parent, aside));
  return {};
}

Result<void> settle_staged(const Guests& guests, const std::string& name) {
  if (!name.starts_with(kPending)) {
    const Fd staged =
        TRY(sys::open_dir(At::cwd(), guests.places().guests(guests.tenant()) + "/" + name));
    drop_volumes(guests, staged);
    return {};
  }
  const Result<Guest> guest = guests.find(name.substr(kPending.size()));
  if (!guest) return {};  // it was removed: nobody wants this any more
  TRY(guests.lock(guest->record));
  return {};
}

Result<void> roll_back(const Guests& guests, const GuestRecord& record, const std::string& snapshot,
                       const RollbackWish& wish) {
  TRY(enter_tenant(guests));
  const HeldSignals held;
  const OpenSnapshot then = TRY(open_snapshot(guests, record, snapshot));
  if (wish.volumes && then.facts.volumes.empty()) {
    return Error(Code::kInvalid, "snapshot " + quote(snapshot) + " has no volumes")
        .hint("roll back without --volumes; snapshot create --volumes takes them in");
  }
  const LockedGuest locked = TRY(guests.lock(record));
  TRY(check_idle(locked));
  TRY(refuse_for_checkpoint(locked.guest.record, "rollback"));
  if (wish.volumes) TRY(check_volume_users(guests, record, then.facts));
  StagedDir staged = TRY(StagedDir::create(guests, "rollback"));
  Result<void> made = stage(guests, locked, then, wish, staged);
  const Fd parent = TRY(sys::open_dir(At::cwd(), guests.places().guests(guests.tenant())));
  if (made) made = staged.publish(parent, std::string(kPending) + record.id);
  if (!made) {
    drop_volumes(guests, staged.dir());
    return made;
  }
  TRY(settle_rollback(guests, record.id, locked.dir()));
  note_event(guests.places(), record, "rollback", {{"snapshot", snapshot}});
  return {};
}

}  // namespace vrun::engine
