// `vrun checkpoint`: a running micro-VM is kept with all that runs in it, and ends. `vrun restore
// GUEST` lets the same guest go on from there, once.
//
//   data/guests/TENANT/NAME/
//     checkpoint.new/    state and memory (saved_machine.hpp) of a machine that stands still
//     checkpoint/        the same of one that has ended by that
//     checkpoint.used/   the same while a machine is on its way to go on from it
//
// The machine itself says in its last report (vm/agent/report.hpp) that it stands still for good;
// who writes the end of the guest down then makes the first of these the second and says so in the
// record (GuestRecord::checkpoint). So whoever is killed when: the guest runs, or it is
// checkpointed. The files stay where they are, and nothing may start, change or roll back the guest
// until it is restored or its checkpoint dropped.
#pragma once

#include <optional>
#include <string_view>

#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/saved_machine.hpp"

namespace vrun::engine {

inline bool is_checkpointed(const GuestRecord& record) {
  return !record.checkpoint.created.empty();
}

// Answers when the guest has ended and its checkpoint is there for good.
Result<void> checkpoint_guest(const Guests& guests, const GuestRecord& record);
// The guest's next start boots. kState when it has no checkpoint.
Result<void> drop_checkpoint(const Guests& guests, const GuestRecord& record);
// Goes on from it, with a monitor as any start. Answers when it does; else all is as before.
Result<void> restore_guest(const Guests& guests, const GuestRecord& record);

// kState for a guest that is checkpointed.
Result<void> refuse_for_checkpoint(const GuestRecord& record, std::string_view what);

// ---- for starts and ends, under the guest's lock ----

// kState: a checkpointed guest that is not restored, or the other way round.
Result<void> check_checkpoint(const GuestRecord& record, bool restore);
Result<void> begin_restore(const LockedGuest& locked);
void undo_restore(const LockedGuest& locked);
// Until the machine goes on; kState with the reason when it ends instead, which it has then.
Result<void> await_restored(const Guests& guests, const GuestRecord& record, const Fd& process);
// It goes on: the checkpoint is used up.
Result<void> end_restore(LockedGuest& locked);
// The machine that this start goes on from: a checkpoint's, or that of a clone's first start.
Result<std::optional<SavedMachine>> machine_to_go_on(const Fd& guest_dir,
                                                     const GuestRecord& record);
// At the end of a life, while its network is still there. `checkpointed`: its machine said so.
// Whether the guest is checkpointed now.
Result<bool> settle_checkpoint(const Guests& guests, LockedGuest& locked, bool checkpointed);

}  // namespace vrun::engine
