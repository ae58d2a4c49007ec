// The disk budget as a qgroup of btrfs: 1/ID, with a limit, over a subvolume for each tree.
//
// Numbers come from the range of the project quotas; one whose qgroup is there is not taken.
// statfs(2) knows nothing of qgroups: df in a guest shows the whole file system.
#pragma once

#include "base/fd.hpp"
#include "tenants/disk.hpp"

namespace vrun::tenants {

class BtrfsDisk : public DiskBackend {
 public:
  // Are quotas of the file system on?
  static Result<void> check(const Fd& dir);

  Result<std::uint64_t> take_id(const DiskPlaces& places,
                                std::span<const std::uint64_t> taken) const override;
  Result<void> make(const DiskPlaces& places, std::uint64_t bytes) const override;
  Result<void> open(const DiskPlaces& places, std::uint64_t bytes,
                    std::uint64_t reserved) const override;
  Result<void> resize(const DiskPlaces& places, std::uint64_t bytes,
                      std::uint64_t reserved) const override;
  Result<void> loosen(const DiskPlaces& places, std::uint64_t bytes) const override;
  Result<void> close(const DiskPlaces& places) const override;
  Result<void> forget(const DiskPlaces& places) const override;
  Result<DiskUse> use(const DiskPlaces& places) const override;
};

}  // namespace vrun::tenants
