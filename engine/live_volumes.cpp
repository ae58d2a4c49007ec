#include "engine/live_volumes.hpp"

#include <algorithm>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/caller_rights.hpp"
#include "engine/checkpoint.hpp"
#include "engine/disk.hpp"
#include "engine/events.hpp"
#include "engine/guest_volumes.hpp"
#include "engine/live_mount.hpp"
#include "engine/micro_vm.hpp"
#include "engine/micro_vm_call.hpp"
#include "engine/tenant_policy.hpp"
#include "engine/volume_store.hpp"
#include "engine/volumes.hpp"
#include "runtime/container.hpp"

namespace vrun::engine {
namespace {

// How often a guest is looked at that is to let go: its kernel gives files back by and by.
constexpr int kLooks = 30, kLookMs = 100;

Result<void> check(const Guest& guest, const char* flag) {
  const std::string& name = guest.record.name;
  if (is_disk_guest(guest.record.request)) {
    return Error(Code::kUnsupported, std::string(flag) + ": guest " + quote(name) +
                                         " is a system on disks, and has no volumes")
        .hint("--disk-add gives it one more disk");
  }
  if (guest.status == GuestStatus::kPaused)
    return Error(Code::kState, std::string(flag) + ": guest " + quote(name) + " is paused")
        .hint("vrun unpause " + name);
  return {};
}

// The kernel's own trees, in which a running guest's mounts would hide or open what `run` closed.
bool is_kernels(const std::string& target) {
  return target.starts_with("/proc/") || target.starts_with("/sys/") || target.starts_with("/dev/");
}

Result<AskedMount> asked_by(const std::string& text) {
  AskedMount asked = TRY(parse_volume(text, "/"));
  if (asked.is_volume && asked.volume.empty())
    return Error(Code::kInvalid, "--volume-add " + quote(text) + ": the volume needs a name")
        .hint("NAME:" + asked.mount.destination);
  return asked;
}

Result<void> check_place(const GuestRecord& record, const std::string& text,
                         const std::string& target) {
  const std::vector<std::string> taken = mount_points(record);
  if (std::find(taken.begin(), taken.end(), target) != taken.end())
    return Error(Code::kExists, "--volume-add " + quote(text) + ": something else is mounted at " +
                                    quote(target) + " already");
  if (is_kernels(target))
    return Error(Code::kInvalid,
                 "--volume-add " + quote(text) + ": " + quote(target) + " is the kernel's")
        .hint("a place outside of /proc, /sys and /dev");
  return {};
}

// With the sight of whoever asks.
Result<void> check_source(const Guests& guests, const Guest& guest, const std::string& text,
                          const oci::Mount& mount) {
  // Its owners there are a mapping of the tenant's own (host_mounts.hpp), made with the guest.
  if (guest.runs() && guests.tenant() != kDefaultTenant)
    return Error(Code::kUnsupported, "--volume-add " + quote(text) +
                                         ": a folder of the host wants a tenant's guest stopped")
        .hint("vrun stop, vrun update, vrun start; named volumes come while it runs");
  const CallerRights rights = TRY(CallerRights::take(guests.host()));
  Result<struct stat> source = sys::stat(At::cwd(), mount.source);
  if (source) return {};
  return std::move(source).error().during("--volume-add " + quote(text)).hint("create it first");
}

Result<GuestPlace> place_of(const Guests& guests, const Guest& guest) {
  const Fd process = TRY(runtime::open_init(guests.context(), guest.record.id));
  return guest_place(guest.pid, process);
}

Result<void> mount_in(const Guests& guests, const Guest& guest, AskedMount asked) {
  oci::Mount mount = std::move(asked.mount);
  if (asked.is_volume) mount.source = volume_data(guests.places(), guests.tenant(), asked.volume);
  if (!asked.is_volume) mount.options.emplace_back("idmap-if-possible");
  const GuestPlace place = TRY(place_of(guests, guest));
  const Fd tree = TRY(detached_mount(mount, place));
  return attach(tree, place, mount.destination);
}

// The record comes first: a mount that the guest has and the record has not would be nobody's.
Result<void> add_volume(const Guests& guests, LockedGuest& locked, std::string text) {
  const AskedMount asked = TRY(asked_by(text));
  GuestRecord& record = locked.guest.record;
  const GuestRecord before = record;
  TRY(check_place(record, text, asked.mount.destination));
  const bool runs = locked.guest.runs();
  record.request.volumes.push_back(text);
  if (asked.is_volume) record.volumes.push_back(use_of(asked));
  // What it has by then is not the image's: the next start does not fill it either.
  if (asked.is_volume && runs) record.volumes.back().no_copy = true;
  TRY(check_wishes(guests, record.request));
  if (!asked.is_volume) TRY(check_source(guests, locked.guest, text, asked.mount));
  TRY(locked.save());
  const auto make = [&]() -> Result<void> {
    if (asked.is_volume) TRY(make_volumes(guests, record));
    return runs ? mount_in(guests, locked.guest, asked) : Result<void>();
  };
  Result<void> made = make();
  if (made) return made;
  record = before;
  TRY(locked.save());
  return std::move(made).error().during("--volume-add " + quote(text));
}

// A micro-VM's kernel keeps files that nobody uses any more, and with them ours.
void let_forget(const Guests& guests, const GuestRecord& record) {
  if (is_micro_vm(record.request))
    static_cast<void>(call_agent(guests, record, R"({"call":"forget-files"})"));
}

Result<void> unmount(const Guests& guests, const Guest& guest, const std::string& target) {
  const GuestPlace place = TRY(place_of(guests, guest));
  const int looks = is_micro_vm(guest.record.request) ? kLooks : 1;
  for (int look = 0; look < looks; ++look) {
    if (look % 10 == 0) let_forget(guests, guest.record);
    if (TRY(detach(place, target))) return {};
    if (look + 1 < looks) TRY(sys::poll({}, kLookMs));
  }
  return Error(Code::kState, "--volume-rm " + quote(target) +
                                 ": the guest uses it (a file is open, a process works there, or "
                                 "another mount is below), and keeps it")
      .hint("end what uses it, or: vrun stop, vrun update, vrun start");
}

Result<void> remove_volume_at(const Guests& guests, LockedGuest& locked,
                              const std::string& target) {
  GuestRecord& record = locked.guest.record;
  std::vector<std::string>& texts = record.request.volumes;
  const auto at = std::find_if(texts.begin(), texts.end(), [&](const std::string& text) {
    const Result<AskedMount> asked = parse_volume(text, "/");
    return asked && asked->mount.destination == target;
  });
  if (at == texts.end())
    return Error(Code::kNotFound, "--volume-rm " + quote(target) + ": guest " + quote(record.name) +
                                      " has no volume there by --volume")
        .hint("vrun inspect " + record.name);
  if (locked.guest.runs()) TRY(unmount(guests, locked.guest, target));
  texts.erase(at);
  std::erase_if(record.volumes, [&](const VolumeUse& use) { return use.target == target; });
  return locked.save();
}

}  // namespace

Result<void> change_volumes(const Guests& guests, const GuestRecord& record,
                            const std::vector<std::string>& add,
                            const std::vector<std::string>& remove) {
  LockedGuest locked = TRY(guests.lock(record));
  TRY(refuse_for_checkpoint(locked.guest.record, "change"));
  TRY(check(locked.guest, add.empty() ? "--volume-rm" : "--volume-add"));
  for (const std::string& target : remove)
    TRY(remove_volume_at(guests, locked, target));
  for (const std::string& text : add)
    TRY(add_volume(guests, locked, text));
  note_event(guests.places(), locked.guest.record, "update");
  return {};
}

}  // namespace vrun::engine
