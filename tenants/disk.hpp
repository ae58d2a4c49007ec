// The disk budget of a tenant: what its guests write, their logs and its volumes, together. What
// its images count for (images/charge.hpp) is `reserved`: the trees may have so much less.
//
//   data/guests/NAME             upper layers, logs, records of guests
//   data/volumes/NAME            volumes
//   data/tenants/NAME/disk.made  which backend holds the budget and under which number: written
//                                before anything is made, so that a killed create can be undone
//
// Three backends hold it; one is chosen when the tenant is made and stays (docs/tenants.md):
//
//   project  a project quota over both trees, where ext4 or xfs is mounted with prjquota
//   btrfs    a subvolume for each tree and a qgroup over both, where quotas are on
//   loop     everywhere else: an ext4 in a sparse file (disk.img), mounted at the first use after a
//            boot in the mount namespace of who needs it, its directories bound to the two places
//
// A full budget is EDQUOT or ENOSPC for this tenant only. data/tenants/NAME itself (the record, the
// accounts) is vrun's and counts for none: a full budget must not stop the accounting.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::tenants {

struct DiskPlaces {
  std::string image, top;       // data/tenants/NAME/disk.img, .../disk
  std::string guests, volumes;  // data/guests/NAME, data/volumes/NAME
  std::uint64_t id = 0;         // of the project or the qgroup
  static DiskPlaces of(const std::string& data_dir, const std::string& tenant,
                       std::uint64_t id = 0);
};

// What of a budget is left for the trees.
constexpr std::uint64_t without(std::uint64_t bytes, std::uint64_t reserved) {
  return bytes > reserved ? bytes - reserved : 0;
}

struct DiskUse {
  std::uint64_t bytes = 0, inodes = 0;
};

class DiskBackend {
 public:
  virtual ~DiskBackend() = default;
  // A number for make() that nothing on the file system carries, and none of `taken`; 0 where the
  // backend needs none.
  virtual Result<std::uint64_t> take_id(const DiskPlaces& places,
                                        std::span<const std::uint64_t> taken) const = 0;
  virtual Result<void> make(const DiskPlaces& places, std::uint64_t bytes) const = 0;
  // Before anything of the tenant is touched: its trees are there, and the budget is held. kState
  // where the file system does not hold it any more.
  virtual Result<void> open(const DiskPlaces& places, std::uint64_t bytes,
                            std::uint64_t reserved) const = 0;
  // Live. kState when more is in use; kUnsupported where it cannot shrink at all.
  virtual Result<void> resize(const DiskPlaces& places, std::uint64_t bytes,
                              std::uint64_t reserved) const = 0;
  // Before a tenant is removed: what vrun writes down and renames meanwhile is not refused.
  virtual Result<void> loosen(const DiskPlaces& places, std::uint64_t bytes) const = 0;
  // Before the trees are removed; nothing of the tenant may run.
  virtual Result<void> close(const DiskPlaces& places) const = 0;
  // When the trees are gone: the file system knows nothing of the budget any more. Again is fine.
  virtual Result<void> forget(const DiskPlaces& places) const = 0;
  virtual Result<DiskUse> use(const DiskPlaces& places) const = 0;
};

// By the name that a tenant's record holds; kInvalid for another.
Result<const DiskBackend*> disk_backend(std::string_view name);

// What the file system of a directory can do. Pure looking; the directory need not be there yet.
struct DiskSupport {
  std::string file_system;  // "ext4", "xfs", "btrfs" or "other"
  bool quota = false;       // project quotas or qgroups are on and held
  std::string why;          // why not
};
DiskSupport look_at_disk(const std::string& dir);

// "auto" takes what the file system has, else "loop"; a backend that it does not have is
// kUnsupported with the reason.
Result<std::string> choose_disk(std::string_view wanted, const DiskSupport& support);

// For people: "project quota 2000001007 of ext4".
std::string disk_words(std::string_view backend, std::uint64_t id, std::string_view file_system);

// A killed create: what it wanted to make.
struct DiskNote {
  std::string backend;
  std::uint64_t id = 0;
};
Result<void> note_disk(const std::string& tenant_dir, const DiskNote& note);
// kNotFound when there is none.
Result<DiskNote> read_disk_note(const std::string& tenant_dir);

// Files and directories that a budget of so many bytes allows where the file system would hold any
// number: one for each 4 KiB, and never less than 4096.
std::uint64_t inodes_for(std::uint64_t bytes);

}  // namespace vrun::tenants
