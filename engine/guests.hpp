// The guests of one tenant: finding them by name or id, what state they are in, changing them.
//
//   data/guests/TENANT/NAME/   guest.json   the record (guest_record.hpp)
//                              lock         held (flock) by whoever changes the guest
//                              live         there from its start until its end was written down
//                              logs/        what it said (guest_logs.hpp)
//                              upper/ work/ files/
//   run/guests/TENANT/ID/      the runtime's state folder
//   run/monitors/TENANT/ID/    stdin, stdout, stderr (FIFOs), attach (socket), monitor (its pid;
//                              flock held for as long as it lives), a file a probe
//                              (probe_state.hpp)
//
// A guest without --rm stays when it ends, until `rm`. Its record is read without a lock; a change
// takes it: lock(), read again, change, save(), drop the lock. Nobody holds it while waiting for a
// guest: the end of a guest is written down under it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "engine/guest_record.hpp"
#include "engine/places.hpp"
#include "engine/probe_state.hpp"
#include "runtime/container.hpp"
#include "tenants/record.hpp"

namespace vrun::engine {

enum class GuestStatus : std::uint8_t {
  kCreated,  // never started
  kRunning,
  kPaused,
  kRestarting,  // ended, and its monitor waits to start it again
  kEnding,      // its process has ended, and its monitor is writing that down
  kExited,
};
const char* to_text(GuestStatus status);

struct Guest {
  GuestRecord record;
  GuestStatus status = GuestStatus::kCreated;
  Pid pid;                         // outside; 0 when it does not run
  std::string health;              // starting, healthy, unhealthy; empty: no health check
  std::vector<ProbeState> probes;  // those that its monitor carries out
  // Of a running guest: its postStart command and its startup and readiness probes are good.
  bool ready = true;
  bool runs() const { return status == GuestStatus::kRunning || status == GuestStatus::kPaused; }
};

// The lock of one guest, and its directory.
class LockedGuest {
 public:
  Guest guest;  // as it is under the lock
  const Fd& dir() const { return dir_; }
  const std::string& path() const { return path_; }
  // Writes guest.record.
  Result<void> save();

 private:
  friend class Guests;
  LockedGuest(Guest read, Fd dir, Fd lock, std::string path)
      : guest(std::move(read)),
        dir_(std::move(dir)),
        lock_(std::move(lock)),
        path_(std::move(path)) {}
  Fd dir_, lock_;
  std::string path_;
};

class Guests {
 public:
  // Nothing is made or changed; a tenant without guests has an empty list.
  static Result<Guests> open(const Places& places, std::string tenant, const Host& host);

  // By name, by id or by the beginning of an id (names win). Unknown: kNotFound with the nearest
  // name; a beginning that several share: kInvalid, with their names.
  Result<Guest> find(std::string_view name_or_id) const;
  // Sorted by creation, newest first. A directory whose record cannot be read is passed over with a
  // warning.
  Result<std::vector<Guest>> list() const;
  // Waits for other commands that change this guest; finishes a rollback that was killed.
  Result<LockedGuest> lock(const GuestRecord& record) const;

  // What runtime:: functions want: context(), and record.id as the container's id.
  const runtime::Context& context() const { return context_; }
  const Places& places() const { return places_; }
  const std::string& tenant() const { return tenant_; }
  const Host& host() const { return context_.host; }

  // Directories of one guest.
  std::string path_of(const GuestRecord& record) const;      // data/guests/TENANT/NAME
  std::string monitor_dir(const GuestRecord& record) const;  // run/monitors/TENANT/ID

 private:
  Guests(Places places, std::string tenant, runtime::Context context)
      : places_(std::move(places)), tenant_(std::move(tenant)), context_(std::move(context)) {}
  Result<GuestRecord> read(const std::string& name) const;
  Guest look(GuestRecord record) const;
  // `info`: what the runtime says of it, null: it knows no such container.
  Guest look(GuestRecord record, const runtime::Info* info) const;

  // The guest of one directory below `dir`; none when there is none.
  std::optional<Guest> look_at(const Fd& dir, const std::string& name,
                               const std::map<std::string, runtime::Info>& containers) const;

  Places places_;
  std::string tenant_;
  runtime::Context context_;
};

// The tenant of commands without --tenant.
using tenants::kDefaultTenant;

}  // namespace vrun::engine
