// What a virtio device is to its transport, and the transport to a device.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vm/vmm/state.hpp"
#include "vm/vmm/virtqueue.hpp"
#include "vm/vmm/worker.hpp"

namespace vrun::vmm {

// Feature bits that all devices share (Virtual I/O Device 1.2, section 6).
inline constexpr std::uint64_t kFeatureIndirect = 1ull << 28;
inline constexpr std::uint64_t kFeatureEventIndex = 1ull << 29;
inline constexpr std::uint64_t kFeatureVersion1 = 1ull << 32;

// How a device reaches its driver; any thread.
class DriverLink {
 public:
  virtual ~DriverLink() = default;
  virtual void queue_interrupt(std::uint16_t queue) = 0;
  virtual void config_changed() = 0;
  // The driver broke the rules: the device stands still until the driver resets it. `why` goes to
  // the log.
  virtual void needs_reset(const std::string& why) = 0;
};

class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;

  // Fixed facts; any thread.
  virtual std::uint16_t type() const = 0;  // section 5: 1 net, 2 block, 3 console, 4 entropy ...
  virtual std::uint32_t pci_class() const { return 0xff0000; }  // 24 bits
  virtual std::uint64_t features() const { return 0; }          // beyond the shared ones
  virtual std::vector<std::uint16_t> queue_sizes() const = 0;
  // The device's configuration; called by processors' threads while the device may be at work.
  virtual void read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) = 0;
  virtual void write_config(std::uint64_t, std::span<const std::uint8_t>) {}

  // All its work is done there.
  Worker& worker() { return *worker_; }

  // On the worker. The driver is ready: queues are set up (one for each of queue_sizes(); null:
  // not used by the driver), `features` are those that both sides know.
  virtual void activate(std::uint64_t features, std::vector<std::unique_ptr<Virtqueue>> queues,
                        DriverLink& driver) = 0;
  // The driver rang for a queue.
  virtual void rung(std::uint16_t queue) = 0;
  // The driver is gone: forget the queues and what is under way.
  virtual void reset() = 0;

  // For snapshots: what the device has beyond its queues. save(): while the worker does nothing
  // else; load(): on the worker, before activate(). kUnsupported: it cannot be saved.
  virtual Result<void> save(StateWriter& to) const;
  virtual Result<void> load(StateReader& from);

 protected:
  explicit VirtioDevice(std::unique_ptr<Worker> worker) : worker_(std::move(worker)) {}

 private:
  std::unique_ptr<Worker> worker_;
};

}  // namespace vrun::vmm
