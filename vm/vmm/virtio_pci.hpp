// The PCI transport of a virtio device (Virtual I/O Device 1.2, section 4.1), modern only.
//
// BAR 0:  0x0000 common configuration   0x1000 interrupt status   0x2000 device configuration
//         0x3000 doorbells, four bytes a queue                    0x4000 MSI-X table
//         0x5000 MSI-X pending bits
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "vm/vmm/msix.hpp"
#include "vm/vmm/pci.hpp"
#include "vm/vmm/virtio.hpp"

namespace vrun::vmm {

class VirtioPci : public PciDevice, public DriverLink {
 public:
  // `complain`: takes what a driver did wrong, for the log; any thread.
  static Result<std::unique_ptr<VirtioPci>> create(
      std::unique_ptr<VirtioDevice> device, const Vm& vm, const GuestMemory& memory,
      std::function<void(const std::string&)> complain);
  ~VirtioPci() override;

  VirtioDevice& device() { return *device_; }

  // For snapshots, while no processor runs. finish_requests(): all that the driver asked for is
  // done. save(): while the device's worker waits. load(): of a device that no driver has met.
  void finish_requests();
  Result<void> save(StateWriter& to);
  Result<void> load(StateReader& from);

  void read_memory(std::uint64_t offset, std::span<std::uint8_t> bytes) override;
  void write_memory(std::uint64_t offset, std::span<const std::uint8_t> bytes) override;

  void queue_interrupt(std::uint16_t queue) override;
  void config_changed() override;
  void needs_reset(const std::string& why) override;

 protected:
  void config_written(std::uint64_t offset, std::uint64_t count) override;
  void config_read(std::uint64_t offset, std::uint64_t count) override;
  void memory_moved(std::uint64_t from, std::uint64_t to) override;

 private:
  static constexpr std::uint16_t kNoVector = 0xffff;
  struct Queue {
    std::uint16_t most = 0;  // the device's size
    QueueSetup setup;
    std::atomic<std::uint16_t> vector = kNoVector;
    bool enabled = false;
    Fd bell;
    Virtqueue* at_work = nullptr;  // the device's, while it is active
  };

  VirtioPci(std::unique_ptr<VirtioDevice> device, const Vm& vm, const GuestMemory& memory,
            std::vector<std::unique_ptr<Queue>> queues,
            std::function<void(const std::string&)> complain);
  void describe();
  std::uint64_t offered() const;
  // One field of the common configuration.
  std::uint64_t load(std::uint64_t offset);
  void store(std::uint64_t offset, std::uint64_t value, std::size_t size);
  void store_queue(Queue& queue, std::uint64_t offset, std::uint64_t value, std::size_t size);
  void set_status(std::uint8_t value);
  void activate();
  Result<void> load_queue(Queue& queue, StateReader& from);
  // As load_queue() found them.
  struct Position {
    std::uint16_t available = 0, used = 0;
  };
  void activate_at(const std::vector<Position>& positions);
  void reset();

  std::unique_ptr<VirtioDevice> device_;
  const Vm& vm_;
  const GuestMemory& memory_;
  std::function<void(const std::string&)> complain_;
  Msix msix_;
  std::uint8_t msix_at_ = 0, access_at_ = 0;  // capabilities

  std::mutex lock_;  // of what follows, but for atomics
  std::vector<std::unique_ptr<Queue>> queues_;
  std::uint32_t device_feature_select_ = 0, driver_feature_select_ = 0;
  std::uint64_t driver_features_ = 0;
  std::uint16_t queue_select_ = 0;
  std::atomic<std::uint8_t> status_ = 0, isr_ = 0, generation_ = 0;
  std::atomic<std::uint16_t> config_vector_ = kNoVector;
  bool active_ = false;
};

}  // namespace vrun::vmm
