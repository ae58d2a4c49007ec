#include "engine/checkpoint.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/events.hpp"
#include "engine/guest_life.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_start.hpp"
#include "engine/held_signals.hpp"
#include "engine/micro_vm.hpp"
#include "engine/micro_vm_call.hpp"
#include "engine/monitor_call.hpp"
#include "engine/staged_dir.hpp"
#include "engine/tenant_entry.hpp"

namespace vrun::engine {
namespace {

constexpr const char* kNew = "checkpoint.new";
constexpr const char* kKept = "checkpoint";
constexpr const char* kUsed = "checkpoint.used";
// For the machine's end after its last word, and for writing that down.
constexpr int kToEndMs = 20000;
constexpr std::chrono::seconds kToComeUp{60};

bool is_there(const Fd& dir, const char* name) {
  return sys::stat(dir, name, AT_SYMLINK_NOFOLLOW).has_value();
}

// On disk when this has answered: the record that is written next says so.
Result<void> rename_for_good(const Fd& dir, const char* from, const char* to) {
  TRY(sys::rename(dir, from, dir, to));
  if (::fsync(dir.get()) == 0) return {};
  return Error::system(errno, "write the guest's directory");
}

Error has_none(const GuestRecord& record) {
  return Error(Code::kState, "guest " + quote(record.name) + " has no checkpoint")
      .hint("`vrun checkpoint` makes one of a running micro-VM; `vrun start " + record.name +
            "` boots it");
}

// What the machine itself cannot say.
Result<void> check(const Guest& guest, const Fd& dir) {
  const GuestRecord& record = guest.record;
  const std::string name = "guest " + quote(record.name);
  if (!is_micro_vm(record.request)) {
    return Error(Code::kUnsupported, name + " is a container: only micro-VMs can be checkpointed")
        .hint("--isolation vm; `vrun oci checkpoint` is for OCI containers, by CRIU");
  }
  if (is_checkpointed(record)) {
    return Error(Code::kState, name + " is checkpointed already")
        .hint("vrun restore " + record.name);
  }
  if (guest.status != GuestStatus::kRunning) {
    const bool paused = guest.status == GuestStatus::kPaused;
    return Error(Code::kState, name + (paused ? " is paused" : " does not run"))
        .hint((paused ? "vrun unpause " : "vrun start ") + record.name);
  }
  if (record.request.remove || !is_there(dir, "kept")) {
    return Error(Code::kUnsupported, name + " is removed when it ends (run --rm)")
        .hint("`vrun vm snapshot` keeps what runs of a guest that goes on");
  }
  return {};
}

Result<void> wait_for_end(const Guests& guests, const GuestRecord& record, const Fd& process) {
  std::array<pollfd, 1> ended{pollfd{process.get(), POLLIN, 0}};
  const bool in_time =
      TRY(sys::poll(ended, kToEndMs)) > 0 && TRY(wait_for_monitor(guests, record, kToEndMs));
  if (!in_time) return Error(Code::kTimeout, "the end of the machine was not written down in time");
  repair(guests);
  const Guest now = TRY(guests.find(record.id));
  if (is_checkpointed(now.record)) return {};
  return Error(Code::kState,
               "guest " + quote(record.name) + " ended meanwhile: " + now.record.last.reason);
}

bool has_ended(const Fd& process) {
  std::array<pollfd, 1> ended{pollfd{process.get(), POLLIN, 0}};
  const Result<int> count = sys::poll(ended, 0);
  return count && *count > 0;
}

Error not_restored(const Guests& guests, const GuestRecord& record, const std::string& why) {
  const std::string lost = micro_vm_end(guests, record).lost;
  return Error(Code::kState, "the machine does not go on: " + (lost.empty() ? why : lost))
      .hint("its checkpoint is still there; `vrun checkpoint --drop " + record.name +
            "` gives it up, and a start boots then");
}

}  // namespace

Result<void> refuse_for_checkpoint(const GuestRecord& record, std::string_view what) {
  if (!is_checkpointed(record)) return {};
  return Error(Code::kState,
               "guest " + quote(record.name) + " is checkpointed: no " + std::string(what))
      .hint("`vrun restore " + record.name + "` goes on from there; `vrun checkpoint --drop " +
            record.name + "` gives up what ran");
}

Result<void> checkpoint_guest(const Guests& guests, const GuestRecord& record) {
  const Guest guest = TRY(guests.find(record.id));
  const Fd dir = TRY(sys::open_dir(At::cwd(), guests.path_of(guest.record)));
  TRY(check(guest, dir));
  TRY(enter_tenant(guests));
  const HeldSignals held;
  const Fd process = TRY(runtime::open_init(guests.context(), record.id));
  StagedDir staged = TRY(StagedDir::create(guests, kKept));
  {
    MachineStandstill still = TRY(MachineStandstill::begin(guests, guest.record, staged.dir()));
    TRY(fs::remove_tree(dir, kNew));  // of one that was killed before the machine had its last word
    TRY(staged.publish(dir, kNew));
    if (::fsync(dir.get()) != 0) return Error::system(errno, "write the guest's directory");
    TRY(still.end_guest());
  }
  TRY(wait_for_end(guests, guest.record, process));
  note_event(guests.places(), guest.record, "checkpoint");
  return {};
}

Result<void> drop_checkpoint(const Guests& guests, const GuestRecord& record) {
  LockedGuest locked = TRY(guests.lock(record));
  GuestRecord& now = locked.guest.record;
  if (!is_checkpointed(now) || locked.guest.runs()) return has_none(now);
  now.checkpoint = {};
  TRY(locked.save());
  return fs::remove_tree(locked.dir(), kKept);
}

Result<void> restore_guest(const Guests& guests, const GuestRecord& record) {
  const bool runs = TRY(guests.find(record.id)).runs();
  if (!runs) TRY(wait_for_monitor(guests, record, kToEndMs));
  const Guest now = TRY(guests.find(record.id));
  if (now.runs()) return Error(Code::kState, "guest " + quote(record.name) + " runs already");
  if (!is_checkpointed(now.record)) return has_none(now.record);
  TRY(reset_restarts(guests, now.record));
  Launch launch;
  launch.restore = true;
  TRY(launch_guest(guests, now.record, std::move(launch)));
  return {};
}

Result<void> check_checkpoint(const GuestRecord& record, bool restore) {
  if (!restore) return refuse_for_checkpoint(record, "start");
  return is_checkpointed(record) ? Result<void>() : has_none(record);
}

Result<void> begin_restore(const LockedGuest& locked) {
  if (is_there(locked.dir(), kUsed)) return {};  // of a start that was killed
  return rename_for_good(locked.dir(), kKept, kUsed);
}

void undo_restore(const LockedGuest& locked) {
  static_cast<void>(rename_for_good(locked.dir(), kUsed, kKept));
}

Result<void> await_restored(const Guests& guests, const GuestRecord& record, const Fd& process) {
  const auto begun = std::chrono::steady_clock::now();
  const char* why = "it ended at once";
  while (!has_ended(process)) {
    if (call_agent(guests, record, R"({"call":"info"})")) return {};
    if (std::chrono::steady_clock::now() - begun > kToComeUp) {
      why = "it does not answer";
      break;
    }
    TRY(sys::poll({}, 5));
  }
  Error error = not_restored(guests, record, why);
  TRY(runtime::remove(guests.context(), record.id, true));
  return error;
}

Result<void> end_restore(LockedGuest& locked) {
  if (!is_there(locked.dir(), kUsed)) return {};
  locked.guest.record.checkpoint = {};
  TRY(locked.save());
  return fs::remove_tree(locked.dir(), kUsed);
}

Result<std::optional<SavedMachine>> machine_to_go_on(const Fd& guest_dir,
                                                     const GuestRecord& record) {
  return open_saved_machine(guest_dir, is_checkpointed(record) ? kUsed : kCloned);
}

Result<bool> settle_checkpoint(const Guests& guests, LockedGuest& locked, bool checkpointed) {
  GuestRecord& record = locked.guest.record;
  if (!is_micro_vm(record.request)) return false;
  const Fd& dir = locked.dir();
  if (const Result<struct stat> used = sys::stat(dir, kUsed, AT_SYMLINK_NOFOLLOW)) {
    // Whoever restored it was killed, and so was its machine: before it went on, or else it is too
    // late, for its files have changed.
    const bool at_once = ::time(nullptr) - used->st_ctime < kToComeUp.count();
    if (is_checkpointed(record) && at_once) {
      TRY(rename_for_good(dir, kUsed, kKept));
      return true;
    }
    record.checkpoint = {};
    TRY(fs::remove_tree(dir, kUsed));
  }
  if (is_checkpointed(record) && !checkpointed) return true;  // a start that never was one
  const bool is_new = checkpointed && is_there(dir, kNew);
  // Not new: whoever wrote this end down before was killed. Or an old one that was being dropped.
  if (is_new || !checkpointed) TRY(fs::remove_tree(dir, kKept));
  if (is_new) TRY(rename_for_good(dir, kNew, kKept));
  TRY(fs::remove_tree(dir, kNew));
  if (!is_there(dir, kKept)) return false;
  record.checkpoint.created = now_text();
  if (has_own_network(record.request)) record.checkpoint.network = TRY(network_of(guests, record));
  return true;
}

}  // namespace vrun::engine
