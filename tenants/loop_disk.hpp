// The disk budget as an ext4 of the tenant's own in a file, on a loop device.
//
// Several mounts of one loop device are one file system, so each mount namespace may have its own.
// It grows live, by resize2fs, and does not shrink.
#pragma once

#include "tenants/disk.hpp"

namespace vrun::tenants {

class LoopDisk : public DiskBackend {
 public:
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
