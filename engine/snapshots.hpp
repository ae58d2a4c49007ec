// Snapshots: what a guest's writable layer was at one moment, with its configuration and, if asked,
// its volumes.
//
//   data/guests/TENANT/NAME/snapshots/SNAPSHOT/   snapshot.json   the facts
//                                                 guest.json      the guest's record then
//                                                 upper/          the writable layer
//                                                 machine/        of a micro-VM, if asked: all that
//                                                                 runs (saved_machine.hpp)
//                                                 volumes/N/      volumes, in the facts' order
//
// They belong to the guest: renamed with it, removed with it, paid from its tenant's disk. One is
// made aside (staged_dir.hpp) and renamed, so that one which can be seen is whole; it goes by
// rename as well. A directory that is flock-shared is being read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/staged_dir.hpp"

namespace vrun::engine {

struct SnapshotVolume {
  std::string name, target;
  bool operator==(const SnapshotVolume&) const = default;
};

struct Snapshot {
  std::uint32_t version = 1;
  std::string name, guest, created, comment;
  bool machine = false;  // with it
  bool running = false;  // the guest was, and stood still for so long:
  std::uint64_t standstill_us = 0;
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;   // on disk, if nothing were shared
  std::uint64_t shared = 0;  // of them with the guest itself when it was made (reflinks)
  std::vector<SnapshotVolume> volumes;
  bool operator==(const Snapshot&) const = default;
};
std::string to_json(const Snapshot& snapshot);
Result<Snapshot> parse_snapshot(std::string_view json, std::string_view name);

// "web" or "web@before-upgrade".
struct GuestAt {
  std::string guest, snapshot;
};
GuestAt parse_guest_at(std::string_view word);

struct SnapshotWish {
  std::string name;  // empty: snap1, snap2 ...
  std::string comment;
  bool volumes = false;
  bool machine = false;  // of a running micro-VM: with all that runs in it
};
// Of a running guest too, which stands still for as long as the copy takes.
Result<Snapshot> create_snapshot(const Guests& guests, const GuestRecord& record,
                                 const SnapshotWish& wish);
// The same picture under no name, for who reads it at once.
struct Picture {
  StagedDir dir;  // as a snapshot's
  Snapshot facts;
  GuestRecord record;
};
Result<Picture> take_picture(const Guests& guests, const GuestRecord& record,
                             const SnapshotWish& wish);
// The oldest first.
Result<std::vector<Snapshot>> list_snapshots(const Guests& guests, const GuestRecord& record);

// One to read from; it cannot be removed meanwhile.
struct OpenSnapshot {
  Snapshot facts;
  GuestRecord record;
  Fd dir;
};
// Unknown: kNotFound with the nearest name.
Result<OpenSnapshot> open_snapshot(const Guests& guests, const GuestRecord& record,
                                   const std::string& name);
Result<void> remove_snapshot(const Guests& guests, const GuestRecord& record,
                             const std::string& name);

}  // namespace vrun::engine
