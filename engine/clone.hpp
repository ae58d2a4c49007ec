// A new guest from another one, or from a snapshot of it: its files and its configuration, but not
// what makes it that guest: id, name, host name, ids outside, machine-id, addresses, ports.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

enum class CloneVolumes : std::uint8_t {
  kCopy,   // volumes of its own with the same content: those with a name become NEW-NAME
  kShare,  // the very volumes that have a name; its own ones are copied
  kEmpty,  // volumes of its own, filled at the first start from the image
};
Result<CloneVolumes> parse_clone_volumes(std::string_view text);

struct CloneWish {
  std::string name;  // empty: made from the image's name
  std::string hostname, ip, ip6, mac_address;
  std::vector<std::string> publish, labels;
  CloneVolumes volumes = CloneVolumes::kCopy;
  bool machine = false;  // its first start goes on from the snapshot's machine
};

// `snapshot` empty: as the guest is now; one that runs stands still meanwhile. The new guest has
// never run. What of the configuration was left out is said as a warning.
Result<GuestRecord> clone_guest(const Guests& guests, const GuestRecord& source,
                                const std::string& snapshot, CloneWish wish);

// A clone that did not come to run, with the volumes that were made for it.
void remove_failed_clone(const Guests& guests, const GuestRecord& clone, CloneVolumes volumes);

// ---- also for guests that come from another host ----

// A guest's own marks in its writable layer: an empty machine-id is made anew at the next boot
// (machine-id(5)), a saved seed of random numbers is not for two.
Result<void> forget_identity(const Fd& upper);

// The flags of `request` that name one of `volumes` name GUEST-VOLUME from now on.
void rename_volumes(RunRequest& request, const std::string& guest,
                    const std::vector<VolumeUse>& volumes);

// Named volumes that a guest in the making brings. A killed command's are removed by the sweep of
// guests, by the file `made-volumes` in the guest's directory.
Result<void> note_made_volumes(const Fd& guest_dir, const std::vector<std::string>& names);
void drop_made_volumes(const Guests& guests, const Fd& guest_dir, const std::string& guest);

}  // namespace vrun::engine
