// vrun's side of vrun-monitor (engine/monitor/): its directory, its lock, becoming it.
//
// The process that starts a detached guest becomes its monitor by exec, so the monitor is the
// parent of the guest from its first moment on; and at the guest's end the monitor becomes vrun
// again (`vrun guest-step`), which writes the end down. Whoever holds the lock of the monitor's
// directory is that process.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"
#include "engine/guests.hpp"
#include "engine/probe_state.hpp"

namespace vrun::engine {

// run/monitors/TENANT/ID, locked by us.
struct MonitorPlace {
  Fd dir, lock;
};
// Makes it. kState when a monitor lives.
Result<MonitorPlace> claim_monitor(const Guests& guests, const GuestRecord& record);
// The same for a process that was its monitor: `lock` is the one it holds.
Result<MonitorPlace> keep_monitor(const Guests& guests, const GuestRecord& record, Fd lock);
// The name by which `vrun guest-step` finds its guest again.
Result<std::string> name_of_monitored(const Guests& guests, const std::string& id);
Result<void> rename_monitored(const Guests& guests, const GuestRecord& record);
// The pidfd of the living monitor; kNotFound when there is none.
Result<Fd> open_monitor(const Guests& guests, const GuestRecord& record);
// Waits for the end of the monitor, which is when the guest's end has been written down. False when
// the time is over (< 0: for ever).
Result<bool> wait_for_monitor(const Guests& guests, const GuestRecord& record, int timeout_ms);
Result<void> remove_monitor_dir(const Guests& guests, const GuestRecord& record);

// What the guest's process gets, and the monitor's ends of it.
struct GuestPipes {
  Fd guest_in, guest_out, guest_err;
  Fd in, out, err;  // in: none where the guest gets /dev/null
  std::array<int, 3> stdio() const { return {guest_in.get(), guest_out.get(), guest_err.get()}; }
};
enum class Input { kNone, kUntilClientEnds, kForEver };
// Named pipes in the monitor's directory. The guest's output ends are open for reading too: when a
// monitor is killed, the guest neither gets SIGPIPE nor loses what it said; the next one goes on.
Result<GuestPipes> make_pipes(const Fd& monitor_dir, Input input, Uid uid, Gid gid);
// The monitor's ends again, for a guest that runs.
Result<GuestPipes> reopen_pipes(const Fd& monitor_dir);

struct LogLimits {
  std::uint64_t bytes = 10U << 20U;  // of one file; 0: no log is kept
  std::uint64_t files = 3;
};
struct HealthRules {  // interval 0: none
  std::int64_t interval_ms = 0, timeout_ms = 30000, start_period_ms = 0, retries = 3;
  std::int64_t initial_delay_ms = -1;  // < 0: as the interval
  std::int64_t successes = 1;
  int on_unhealthy = 0;  // 0 nothing, 1 kill, 2 kill and restart, 3 stop
};

struct MonitorCall {
  MonitorPlace place;
  Fd logs, pidfd;
  Fd netns;  // held to the end, so that the traffic of its interfaces can be read
  GuestPipes pipes;
  Fd console, client, notify;
  int client_flags = 0;
  LogLimits log;
  std::array<HealthRules, kProbes> probes;
  bool adopt = false;
};
// Returns only when it failed.
Error become_monitor(const Guests& guests, const GuestRecord& record, MonitorCall call);
// Between two lives: waits, then starts the guest again.
Error become_waiting_monitor(const Guests& guests, const GuestRecord& record, MonitorPlace place,
                             std::int64_t delay_ms);

// The timer of a tenant's CronJobs: asleep until `alarm_ms` since 1970 (0: for ever) or SIGHUP,
// then `vrun guest-step TENANT cron tick`. `lock` says that it lives. Returns only when it failed.
Error become_timer(const Guests& guests, Fd lock, std::int64_t alarm_ms);

}  // namespace vrun::engine
