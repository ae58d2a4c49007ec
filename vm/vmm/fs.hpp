// A shared directory (virtio file system, Virtual I/O Device 1.2 section 5.11).
#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "vm/vmm/fs_server.hpp"
#include "vm/vmm/virtio.hpp"

namespace vrun::vmm {

class Fs : public VirtioDevice {
 public:
  // `tag`: the name by which the guest mounts it, 36 bytes at most. Changes the working directory
  // of the process to `links` (see share.hpp).
  static Result<std::unique_ptr<Fs>> create(std::string tag, Fd root, Fd links,
                                            const FsOptions& options);

  std::uint16_t type() const override { return 26; }
  std::uint32_t pci_class() const override { return 0x018000; }
  std::vector<std::uint16_t> queue_sizes() const override { return {64, 256}; }
  void read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) override;
  void activate(std::uint64_t features, std::vector<std::unique_ptr<Virtqueue>> queues,
                DriverLink& driver) override;
  void rung(std::uint16_t queue) override;
  void reset() override;
  Result<void> save(StateWriter& to) const override;
  Result<void> load(StateReader& from) override;

 private:
  Fs(std::unique_ptr<Worker> worker, std::string tag, Fd root, Fd links, const FsOptions& options);
  std::string tag_;
  FsServer server_;
  std::vector<std::unique_ptr<Virtqueue>> queues_;
  DriverLink* driver_ = nullptr;
};

}  // namespace vrun::vmm
