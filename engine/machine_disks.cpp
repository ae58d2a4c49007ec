#include "engine/machine_disks.hpp"

#include <algorithm>

#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"
#include "engine/events.hpp"
#include "engine/machine_cards.hpp"
#include "engine/micro_vm_call.hpp"
#include "engine/tenant_policy.hpp"

namespace vrun::engine {
namespace {

// The monitor's processes let go of an unplugged disk's file one after the other.
constexpr int kLooks = 40, kLookMs = 50;

std::string call_about(std::string_view call, const std::string& text, bool read_only = false) {
  return json::Writer()
      .begin_object()
      .member("call", call)
      .member("disk", disk_name(text))
      .member("readOnly", read_only)
      .end_object()
      .take();
}

Result<Fd> open_soon(const DiskWish& wish) {
  for (int look = 1;; ++look) {
    Result<Fd> disk = open_disk(wish);
    if (disk || disk.error().code() != Code::kState || look == kLooks) return disk;
    TRY(sys::poll({}, kLookMs));
  }
}

Result<void> check(const Guests& guests, const Guest& guest, const char* flag) {
  if (!is_disk_guest(guest.record.request)) {
    return Error(Code::kUnsupported, std::string(flag) + ": guest " + quote(guest.record.name) +
                                         " has an image, and no disks")
        .hint("volumes keep its data: run --volume; systems on disks: run --isolation vm --disk");
  }
  if (!guest.runs()) return {};
  return check_machine_changes(guests, guest, flag, "vrun stop, vrun update, vrun start");
}

// What was said of its speed goes with it.
void forget_limits(RunRequest& request, const std::string& file) {
  for (std::vector<std::string> RunRequest::*member :
       {&RunRequest::device_read_bps, &RunRequest::device_write_bps, &RunRequest::device_read_iops,
        &RunRequest::device_write_iops})
    std::erase_if(request.*member, [&](const std::string& text) {
      const Result<std::size_t> disk =
          disk_named(request, "", text.substr(0, std::min(text.rfind(':'), text.size())));
      return disk && request.disks[*disk].substr(0, request.disks[*disk].find(':')) == file;
    });
}

Result<void> remove_disk(const Guests& guests, LockedGuest& locked, const std::string& file) {
  RunRequest& request = locked.guest.record.request;
  const std::size_t at = TRY(disk_named(request, "--disk-rm", file));
  if (at == 0) {
    return Error(Code::kInvalid, "--disk-rm " + quote(file) + ": the system boots from it")
        .hint("vrun rm takes the guest away, the file stays");
  }
  const std::string text = request.disks[at];
  if (locked.guest.runs()) {
    TRY(unplug(guests, locked.guest.record, call_about("unplug-disk", text),
               call_about("keep-disk", text), "disk " + quote(file)));
  }
  forget_limits(request, text.substr(0, text.find(':')));
  request.disks.erase(request.disks.begin() + static_cast<std::ptrdiff_t>(at));
  return locked.save();
}

// The record comes first: a disk that the machine has and the record has not would be nobody's.
Result<void> add_disk(const Guests& guests, LockedGuest& locked, const std::string& text) {
  const DiskWish wish = TRY(parse_disk(text));
  if (wish.qcow2) {
    return Error(Code::kUnsupported,
                 "--disk-add " + quote(text) +
                     ": copies of qcow2 images are made when a guest is created")
        .hint("qemu-img convert -O raw FILE FILE.raw");
  }
  RunRequest& request = locked.guest.record.request;
  const RunRequest before = request;
  const bool known =
      std::find(request.disks.begin(), request.disks.end(), text) != request.disks.end();
  if (!known) {
    const auto same = [&](const std::string& one) { return disk_name(one) == disk_name(text); };
    if (std::any_of(request.disks.begin(), request.disks.end(), same))
      return Error(Code::kExists, "--disk-add " + quote(text) + ": the guest has it already");
    request.disks.push_back(text);
    TRY(check_disks(request));
    TRY(check_wishes(guests, request));
  } else if (!locked.guest.runs()) {
    return Error(Code::kExists, "--disk-add " + quote(text) + ": the guest has it already");
  }
  const auto plug = [&]() -> Result<void> {
    const Fd disk = TRY(open_soon(wish));
    if (!locked.guest.runs()) return {};
    TRY(hand_vmm(guests, locked.guest.record, call_about("plug-disk", text, wish.read_only), disk));
    return {};
  };
  if (!known) TRY(locked.save());
  Result<void> plugged = plug();
  if (plugged) return plugged;
  request = before;
  if (!known) TRY(locked.save());
  return plugged;
}

}  // namespace

Result<void> change_disks(const Guests& guests, const GuestRecord& record,
                          const std::vector<std::string>& add,
                          const std::vector<std::string>& remove) {
  LockedGuest locked = TRY(guests.lock(record));
  TRY(check(guests, locked.guest, add.empty() ? "--disk-rm" : "--disk-add"));
  for (const std::string& file : remove)
    TRY(remove_disk(guests, locked, file));
  for (const std::string& text : add)
    TRY(add_disk(guests, locked, text));
  note_event(guests.places(), locked.guest.record, "update");
  return {};
}

}  // namespace vrun::engine
