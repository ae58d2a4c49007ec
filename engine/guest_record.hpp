// What is known of a guest for as long as its directory exists: data/guests/TENANT/NAME/guest.json.
//
// The record is whole and small; it is read without a lock (it is only ever replaced by rename) and
// written by whoever holds the guest's lock (guests.hpp).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "engine/request.hpp"
#include "network/counters.hpp"
#include "network/networks.hpp"

namespace vrun::engine {

// How the last life of a guest ended. `finished` empty: it has not ended yet.
struct LastExit {
  std::string started, finished;  // RFC 3339 with nanoseconds, UTC
  int code = 0;                   // exit status, or 128 + signal; -1: nobody learned it
  int signal = 0;                 // what killed it, 0: it ended by itself
  bool rebooted = false;          // a system guest that began its next life by itself
  bool oom = false;               // the kernel killed something in it for memory
  // In words, for people: "exited with code 3", "killed by signal 9 (KILL) of `vrun stop`",
  // "out of memory: the limit is 64m", "cannot start: exec '/bin/foo': ...".
  std::string reason;
  std::string hint;  // what to do about it; may be empty
  bool operator==(const LastExit&) const = default;
};

// A volume of the guest (volume_store.hpp) and where it is inside.
struct VolumeUse {
  std::string name, target;
  bool anonymous = false;  // the guest's own: it goes with `rm --volumes` and --rm
  bool read_only = false, no_id_map = false;
  bool no_copy = false;  // it stays empty, whatever the image has there
  bool operator==(const VolumeUse&) const = default;
};

// What the user wants: `vrun restore` and the restart policy go by it.
enum class Desired : std::uint8_t { kStopped, kRunning };

// Of a guest that `vrun checkpoint` ended (checkpoint.hpp).
struct Checkpoint {
  std::string created;            // RFC 3339, UTC; empty: it has none
  network::GuestNetwork network;  // what it had then, and gets again
  bool operator==(const Checkpoint&) const = default;
};

struct GuestRecord {
  std::uint32_t version = 1;
  std::string id;  // 64 hexadecimal digits; also its id for runtime:: and its cgroup's name
  std::string name, tenant, image, manifest_digest;
  std::string created;  // RFC 3339, UTC
  // As asked at first and changed since by `update` and `network connect`: there is one truth.
  RunRequest request;
  std::vector<VolumeUse> volumes;
  std::uint32_t first_id = 0;  // of its uid and gid range
  // The same of the guest whose user namespace its last life was in (--pid container:GUEST); 0: its
  // own.
  std::uint32_t joined_id = 0;
  Desired desired = Desired::kStopped;
  std::uint32_t restarts = 0;    // by its policy, since it was last started by hand
  std::uint32_t quick_ends = 0;  // lives in a row that were too short to count as one: the back-off
  LastExit last;
  network::Counters traffic;  // of its ended lives
  Checkpoint checkpoint;

  // What its root is outside, for a guest without --userns host.
  std::uint32_t outside_root() const { return joined_id != 0 ? joined_id : first_id; }
  std::string short_id() const { return id.substr(0, 12); }
  // The value of --label NAME; empty when it has none.
  std::string label(std::string_view key) const;
};

std::string to_json(const GuestRecord& record);
// `name`: of the file, for messages.
Result<GuestRecord> parse_guest_record(std::string_view json, std::string_view name);

// The end of a life alone, for who waits for it.
std::string to_json(const LastExit& last);
Result<LastExit> parse_last_exit(std::string_view json, std::string_view name);

// A request alone, for what makes guests later.
std::string to_json(const RunRequest& request);
Result<RunRequest> parse_request(std::string_view json, std::string_view name);

// 64 random hexadecimal digits.
std::string make_guest_id();

}  // namespace vrun::engine
