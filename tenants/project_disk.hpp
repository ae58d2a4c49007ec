// The disk budget as a project quota of ext4 or xfs.
//
// Both trees carry the project's number and FS_XFLAG_PROJINHERIT, so that whatever is made in them
// carries it, too, and statfs(2) of them, and with it df in a guest (overlayfs passes on what its
// upper layer says), shows the budget. Numbers come from 2000000000 to 2000999999; one that
// anything on the file system is charged to, or that has limits, is not taken.
//
// One interface serves both file systems: the commands Q_X* of quotactl_fd(2) (Linux 5.14).
#pragma once

#include "base/fd.hpp"
#include "tenants/disk.hpp"

namespace vrun::tenants {

class ProjectDisk : public DiskBackend {
 public:
  // Are project quotas of the file system on, and held?
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
