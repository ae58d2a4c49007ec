// The life of guests after their start: signals, ends, what follows an end, removal.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// What is not said is the guest's own: --stop-signal, --stop-timeout.
struct StopWish {
  std::optional<std::int64_t> timeout_ms;  // below zero: never killed
  std::optional<int> signal;
};
// `by`: who wants it, for the guest's record: "vrun stop".
Result<void> stop_guest(const Guests& guests, const GuestRecord& record, const StopWish& wish = {},
                        std::string_view by = "vrun stop");
// A guest that does not run is kState. SIGKILL and the guest's stop signal are a wish that it ends:
// no restart policy starts it again.
Result<void> kill_guest(const Guests& guests, const GuestRecord& record, int signal,
                        std::string_view by = "vrun kill");
// kState while it runs, unless `force`: then it is killed first.
enum class Force { kNo, kYes };
// With kRemove the volumes that are its own go, too; those of a guest with --rm always go.
enum class OwnVolumes { kKeep, kRemove };
Result<void> remove_guest(const Guests& guests, const GuestRecord& record, Force force,
                          OwnVolumes volumes = OwnVolumes::kKeep);
Result<void> rename_guest(const Guests& guests, const GuestRecord& record,
                          const std::string& new_name);
Result<void> pause_guest(const Guests& guests, const GuestRecord& record, bool paused);

// A start by hand begins the counts of the restart policy anew.
Result<void> reset_restarts(const Guests& guests, const GuestRecord& record);

// One who waits for a guest's end. It begins before the waiting: a guest of --rm is gone when it
// has ended, and its end is told only to who asked.
class Wait {
 public:
  static Result<Wait> begin(const Guests& guests, const GuestRecord& record);
  // Until it has ended and no policy starts it again; answers its exit code.
  Result<int> finish(const Guests& guests);

 private:
  explicit Wait(GuestRecord record) : record_(std::move(record)) {}
  Result<int> told() const;

  GuestRecord record_;
  Fd exit_;     // the file that the end is told in; none: nobody but the kernel tells
  Fd process_;  // none: it does not run
};

// What `vrun guest-step TENANT ID ended STATUS [ACTION]` does, in the process that was the monitor:
// writes the end down, then removes the guest (--rm), starts it again or leaves it. `status`: as
// waitpid(2) says it, or "unknown". `action`: what was done to it because of `probe`, if anything.
Result<int> guest_ended(const Guests& guests, const std::string& id, std::string_view status,
                        std::string_view action, std::string_view probe);
// `... start`: the next life.
Result<int> guest_restarts(const Guests& guests, const std::string& id);
// `... health`, `... readiness` and so on: one check; 0 good, 124 not ended in time.
Result<int> guest_probe(const Guests& guests, const std::string& id, Probe probe);
// `... probe-changed PROBE STATE`: an event.
Result<int> guest_probe_changed(const Guests& guests, const std::string& id, std::string_view probe,
                                std::string_view state);

// What killed monitors and commands left: guests that run get a new monitor, ends are written down,
// half-made directories are removed. Four system calls a guest when there is nothing to do. Called
// by every command before it looks at guests.
void repair(const Guests& guests);

// After a boot: starts what its restart policy says, all that can be. Answers how many could not.
Result<int> restore_guests(const Guests& guests,
                           const std::function<void(const GuestRecord&, const Error&)>& on_error);

}  // namespace vrun::engine
