// The PCI bus: configuration space by ECAM and by ports, and the memory that devices show in their
// window.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "vm/vmm/bus.hpp"
#include "vm/vmm/state.hpp"

namespace vrun::vmm {

// One function with at most one memory BAR (BAR 0, 32 bits).
class PciDevice {
 public:
  virtual ~PciDevice() = default;

  // The guest's view of its 256 bytes; calls come one at a time (the bus locks).
  void read_config(std::uint64_t offset, std::span<std::uint8_t> bytes);
  void write_config(std::uint64_t offset, std::span<const std::uint8_t> bytes);

  // Accesses to BAR 0, by any thread at any time.
  virtual void read_memory(std::uint64_t offset, std::span<std::uint8_t> bytes) = 0;
  virtual void write_memory(std::uint64_t offset, std::span<const std::uint8_t> bytes) = 0;

  std::uint64_t memory_size() const { return memory_size_; }
  // Where BAR 0 is seen now; 0: nowhere.
  std::uint64_t memory_at() const;
  void place_memory(std::uint32_t address);

  // What the guest wrote of its configuration. load(): kInvalid for that of another device.
  void save_config(StateWriter& to) const { to.put(config_); }
  Result<void> load_config(StateReader& from);

 protected:
  // `identity`: vendor | device << 16; `classes`: the 24 bits of the class code.
  PciDevice(std::uint32_t identity, std::uint32_t subsystem, std::uint32_t classes,
            std::uint64_t memory_size);
  // Adds a capability, `bytes` behind its two link bytes; answers its place.
  std::uint8_t add_capability(std::uint8_t id, std::span<const std::uint8_t> bytes);
  std::span<std::uint8_t> config() { return config_; }
  // These bytes may be written by the guest.
  void make_writable(std::uint64_t offset, std::uint64_t count, std::uint8_t mask = 0xff);
  // After a write of the guest to [offset, offset + count).
  virtual void config_written(std::uint64_t offset, std::uint64_t count) = 0;
  // Before a read of the guest.
  virtual void config_read(std::uint64_t, std::uint64_t) {}
  // BAR 0 came to another place; 0: nowhere.
  virtual void memory_moved(std::uint64_t from, std::uint64_t to) = 0;

 private:
  std::array<std::uint8_t, 256> config_{}, writable_{};
  std::uint8_t last_capability_ = 0, next_free_ = 0x40;
  std::uint64_t memory_size_;
};

class PciBus {
 public:
  PciBus();
  static constexpr unsigned kSlots = 32;  // the first is the bridge's
  // In the next free slot behind the last one that was taken, with its memory placed; answers the
  // slot. kInvalid when 31 are taken. Any thread, at any time.
  Result<unsigned> add(PciDevice& device);
  // When this returns, nobody is in a call of the device.
  void remove(unsigned slot);
  void connect(Bus& mmio, Bus& ports);
  // Its own registers; those of the devices are theirs.
  void save(StateWriter& to) const;
  Result<void> load(StateReader& from);

 private:
  // The faces of the bus.
  struct Config : BusDevice {
    explicit Config(PciBus& owner) : bus(owner) {}
    void read(std::uint64_t offset, std::span<std::uint8_t> bytes) override;
    void write(std::uint64_t offset, std::span<const std::uint8_t> bytes) override;
    PciBus& bus;
  };
  // Configuration mechanism #1 (PCI Local Bus 3.0, section 3.2.2.3.2): Linux probes for it before
  // it reads the ACPI tables, and complains of a PC without.
  struct Ports : BusDevice {
    explicit Ports(PciBus& owner) : bus(owner) {}
    void read(std::uint64_t offset, std::span<std::uint8_t> bytes) override;
    void write(std::uint64_t offset, std::span<const std::uint8_t> bytes) override;
    // Where in configuration space the data port at `offset` is; none: nowhere.
    std::optional<std::uint64_t> target(std::uint64_t offset) const;
    PciBus& bus;
    std::uint32_t address = 0;
  };
  struct Window : BusDevice {
    explicit Window(PciBus& owner) : bus(owner) {}
    void read(std::uint64_t offset, std::span<std::uint8_t> bytes) override;
    void write(std::uint64_t offset, std::span<const std::uint8_t> bytes) override;
    PciBus& bus;
  };
  struct Found {
    PciDevice* device;
    std::uint64_t offset;
  };
  PciDevice* device_in(std::uint64_t config_offset) const;
  Found device_at(std::uint64_t address);

  std::shared_mutex users_;  // shared by those inside of a device's memory
  std::mutex lock_;
  std::unique_ptr<PciDevice> bridge_;
  std::array<PciDevice*, kSlots> slots_{};
  unsigned last_slot_ = 0;
  Config config_{*this};
  Ports ports_{*this};
  Window window_{*this};
};

}  // namespace vrun::vmm
