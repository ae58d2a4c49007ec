// From a record to a running guest, and from a running guest to its monitor.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guest_dir.hpp"
#include "engine/guests.hpp"
#include "engine/monitor_call.hpp"

namespace vrun::engine {

// A new guest that has never run, from an image. Complete or not there at all; it goes with `dir`
// unless that is kept, which its first start does by itself.
struct CreatedGuest {
  GuestRecord record;
  GuestDir dir;
};
Result<CreatedGuest> create_guest(const Guests& guests, RunRequest request);
// For `create`: it stays without a start.
Result<GuestRecord> keep_guest(CreatedGuest created);

// Starts it in a process of its own, which becomes its monitor. Answers when its program runs.
struct Launch {
  // One end of a connection that is attached from the guest's first byte on; none: nobody.
  Fd client;
  int client_flags = 0;
  bool until_client_ends = false;  // stdin ends with the client
  Fd end;                          // of make_told_end, of a guest with --rm; none: nobody waits
  bool restore = false;            // goes on from its checkpoint (checkpoint.hpp)
};
struct LaunchedGuest {
  Fd monitor;  // pidfd of our child: readable when the guest's end has been written down for good
};
Result<LaunchedGuest> launch_guest(const Guests& guests, const GuestRecord& record, Launch launch);
// Reaps the monitor, our child, when it has ended.
void reap_monitor(const LaunchedGuest& launched);

// In the process that is to be the monitor. Returns only when it failed.
struct BecomeRequest {
  Fd client, notify;
  int client_flags = 0;
  bool until_client_ends = false;
  Fd end;
  Fd lock;  // of the monitor that we were; none: a first start
  bool restore = false;
  bool claimed = false;  // answer: it came so far that a failure is an end of the guest's life
};
Error start_and_monitor(const Guests& guests, const std::string& name, BecomeRequest request);

// For a running guest without a monitor: a child of ours becomes it.
Result<void> adopt_guest(const Guests& guests, const GuestRecord& record);
// For one between two lives.
Result<void> launch_waiting(const Guests& guests, const GuestRecord& record, std::int64_t delay_ms);

}  // namespace vrun::engine
