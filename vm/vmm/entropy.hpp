// Random bytes for the guest (virtio entropy, Virtual I/O Device 1.2 section 5.4).
#pragma once

#include <memory>

#include "base/result.hpp"
#include "vm/vmm/virtio.hpp"

namespace vrun::vmm {

class Entropy : public VirtioDevice {
 public:
  static Result<std::unique_ptr<Entropy>> create();

  std::uint16_t type() const override { return 4; }
  std::vector<std::uint16_t> queue_sizes() const override { return {64}; }
  void read_config(std::uint64_t, std::span<std::uint8_t>) override {}
  void activate(std::uint64_t features, std::vector<std::unique_ptr<Virtqueue>> queues,
                DriverLink& driver) override;
  void rung(std::uint16_t queue) override;
  Result<void> save(StateWriter&) const override { return {}; }
  Result<void> load(StateReader&) override { return {}; }
  void reset() override { queue_.reset(); }

 private:
  using VirtioDevice::VirtioDevice;
  std::unique_ptr<Virtqueue> queue_;
  DriverLink* driver_ = nullptr;
};

}  // namespace vrun::vmm
