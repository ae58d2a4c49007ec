// A disk (virtio block, Virtual I/O Device 1.2 section 5.2) on a file or block device.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/rate.hpp"
#include "vm/vmm/virtio.hpp"

namespace vrun::vmm {

class Block : public VirtioDevice {
 public:
  // `serial`: at most 20 letters, what the guest calls it in /dev/disk/by-id. kInvalid where the
  // file has no whole sectors.
  static Result<std::unique_ptr<Block>> create(Fd file, bool read_only, std::string serial);

  // How fast it may go from now on; any thread.
  void limit(const DiskLimits& limits);

  std::uint16_t type() const override { return 2; }
  std::uint32_t pci_class() const override { return 0x010000; }
  std::uint64_t features() const override;
  std::vector<std::uint16_t> queue_sizes() const override { return {256}; }
  void read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) override;
  void activate(std::uint64_t features, std::vector<std::unique_ptr<Virtqueue>> queues,
                DriverLink& driver) override;
  void rung(std::uint16_t queue) override;
  void reset() override;
  // What is on the disk belongs to whoever snapshots it.
  Result<void> save(StateWriter& to) const override;
  Result<void> load(StateReader& from) override;

 private:
  Block(std::unique_ptr<Worker> worker, Fd file, std::uint64_t size, bool read_only,
        std::string serial);
  void set_limits(const DiskLimits& limits);
  // How long a request has to wait; it is paid for when it need not.
  std::chrono::milliseconds toll(const Chain& chain);
  // Answers how many bytes were written for the driver, its status byte included.
  std::uint32_t serve(const Chain& chain);
  std::uint8_t transfer(const Chain& chain, std::uint64_t sector, bool write);
  std::uint8_t discard(const Chain& chain, bool zeroes);

  Fd file_;
  std::uint64_t size_;
  bool read_only_;
  std::string serial_;
  std::unique_ptr<Virtqueue> queue_;
  DriverLink* driver_ = nullptr;
  Bucket read_bytes_, write_bytes_, read_operations_, write_operations_;
};

}  // namespace vrun::vmm
