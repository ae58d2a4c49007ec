// The disk budget of a tenant: an ext4 file system of its own in a file, on a loop device.
//
//   data/tenants/NAME/disk.img   the file; sparse, so that it takes what is used
//   data/tenants/NAME/disk/      where it is mounted
//   data/guests/NAME             its directory `guests`, bound there: upper layers, logs, records
//   data/volumes/NAME            its directory `volumes`, the same
//
// Everything that counts against the budget lies there, `df` inside a guest shows it, and a full
// one gives ENOSPC to this tenant only. It is mounted at the first use after a boot, in the mount
// namespace of who needs it: several mounts of one loop device are one file system.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace vrun::tenants {

struct DiskPlaces {
  std::string image, top;       // data/tenants/NAME/disk.img, .../disk
  std::string guests, volumes;  // data/guests/NAME, data/volumes/NAME
  static DiskPlaces of(const std::string& data_dir, const std::string& tenant);
};

// Makes the file system, not mounted. Removed with the tenant's directory.
Result<void> make_disk(const DiskPlaces& places, std::uint64_t bytes);
// Mounts what is not mounted; under a lock.
Result<void> mount_disk(const DiskPlaces& places);
// Larger, live. Smaller is kUnsupported.
Result<void> grow_disk(const DiskPlaces& places, std::uint64_t bytes);
// Takes the mounts of this namespace away; nothing of the tenant may run.
Result<void> unmount_disk(const DiskPlaces& places);

}  // namespace vrun::tenants
