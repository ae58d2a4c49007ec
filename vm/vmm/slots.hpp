// What the guest's kernel is told of the slots of its PCI bus, and answers (ACPI 6.4, 5.6.6
// and 6.3).
//
//   0x604  inserted: devices that have come       0x608  wanted: devices that it shall let go
//   0x60c  ejected: written with those that it has let go
//
// Each has 32 bits, one a slot; reading the first two clears them. The methods around them are in
// the DSDT (acpi.cpp). A device goes when the host wanted that and the guest has agreed: what the
// guest ejects by itself stays where it is.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "vm/vmm/bus.hpp"
#include "vm/vmm/layout.hpp"

namespace vrun::vmm {

class Slots : public BusDevice {
 public:
  static constexpr std::uint16_t kPort = layout::kSlotPort;
  static constexpr std::uint64_t kPorts = 12;

  // `tell`: the guest shall look; any thread.
  explicit Slots(std::function<void()> tell) : tell_(std::move(tell)) {}

  // By one thread at a time.
  void insert(unsigned slot) {
    let_go_ &= ~bit(slot);
    inserted_ |= bit(slot);
    tell_();
  }
  // Asks the guest to let go; again and again is no harm.
  void want(unsigned slot) {
    asked_ |= bit(slot);
    wanted_ |= bit(slot);
    tell_();
  }
  bool let_go(unsigned slot) const { return (let_go_ & bit(slot)) != 0; }
  // The device stays after all, or has gone: nothing more is wanted of the slot. True when the
  // guest had let go already.
  bool settle(unsigned slot) {
    asked_ &= ~bit(slot);
    wanted_ &= ~bit(slot);
    return (let_go_.fetch_and(~bit(slot)) & bit(slot)) != 0;
  }

  void read(std::uint64_t offset, std::span<std::uint8_t> bytes) override {
    put_number(bytes, offset == 0 ? inserted_.exchange(0) : offset == 4 ? wanted_.exchange(0) : 0);
  }
  void write(std::uint64_t offset, std::span<const std::uint8_t> bytes) override {
    if (offset == 8) let_go_ |= static_cast<std::uint32_t>(number_of(bytes)) & asked_;
  }

 private:
  static std::uint32_t bit(unsigned slot) { return std::uint32_t{1} << slot; }
  std::function<void()> tell_;
  std::atomic<std::uint32_t> inserted_ = 0, wanted_ = 0, asked_ = 0, let_go_ = 0;
};

}  // namespace vrun::vmm
