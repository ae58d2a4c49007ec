// Micro-VMs that go on where they were saved: with all that runs in them (`vrun vm snapshot`,
// `vrun vm clone`).
//
// A snapshot with a machine has, beside what every snapshot has (snapshots.hpp), the directory
// `machine`: `state` (vm/vmm/state.hpp) and `memory`, which is sparse and never changes. A clone's
// directory has links to both until its first start, which goes on from them; later ones boot.
#pragma once

#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/agent_freeze.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

struct SavedMachine {
  Fd state, memory;
};
inline constexpr const char* kCloned = "machine";
// In the directory of a snapshot or of a guest; none: it has no machine of that name.
Result<std::optional<SavedMachine>> open_saved_machine(const Fd& dir, const char* name = kCloned);
Result<void> link_saved_machine(const Fd& snapshot, const Fd& guest);
Result<void> drop_saved_machine(const Fd& guest);

// A machine that goes on answers; kState with the reason when it ended instead.
Result<void> wait_for_machine(const Guests& guests, const GuestRecord& record);

// A running guest's machine stands still from begin() on, its state and memory are in new files in
// `to`, and what it has written to its files is there; end() lets it go on. Dropped without it the
// machine goes on, too, its guest a few seconds later.
class MachineStandstill {
 public:
  // kUnsupported: a guest that cannot be saved, with the reason.
  static Result<MachineStandstill> begin(const Guests& guests, const GuestRecord& record,
                                         const Fd& to);
  // The same of any machine whose sockets lie in `dir`; not every one can be saved.
  static Result<MachineStandstill> begin_in(const std::string& dir, const Fd& to);
  MachineStandstill(MachineStandstill&&) noexcept = default;
  MachineStandstill& operator=(MachineStandstill&&) = delete;
  ~MachineStandstill();

  Result<void> end();
  // It does not: the guest ends, which whoever has its process sees. An error: it goes on.
  Result<void> end_guest();

 private:
  MachineStandstill() = default;
  AgentFreeze programs_;
  Fd control_, pair_;
};

}  // namespace vrun::engine
