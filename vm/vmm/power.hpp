// The ports by which the guest goes off and is reset, and the events that it is told of.
//
//   0x600  sleep control (ACPI reduced hardware)   0x601  sleep status
//   0x602  reset                                   0x603  events: reading clears them
//   0x64   command of a keyboard controller: of all that one can do only the reset, which is how
//          Linux resets a PC unless it is told otherwise (reboot= of kernel-parameters.txt)
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "vm/vmm/bus.hpp"
#include "vm/vmm/layout.hpp"
#include "vm/vmm/state.hpp"

namespace vrun::vmm {

// How a guest ends. kSaved: where it is, to go on from there elsewhere.
enum class End : std::uint8_t { kNone, kPowerOff, kReset, kFault, kSaved };

class Power : public BusDevice {
 public:
  static constexpr std::uint16_t kSleepPort = layout::kPowerPort;
  static constexpr std::uint16_t kSleepStatusPort = layout::kPowerPort + 1;
  static constexpr std::uint16_t kResetPort = layout::kPowerPort + 2;
  static constexpr std::uint16_t kEventPort = layout::kPowerPort + 3;
  static constexpr std::uint64_t kPorts = 4;
  static constexpr std::uint8_t kResetValue = 1;
  static constexpr std::uint8_t kOffType = 5;  // \_S5_
  // Events.
  static constexpr std::uint8_t kButton = 1, kRescan = 2, kSlots = 4;

  // `end`: the guest asked for its end (called by its processor's thread). `raise`: an edge on
  // the event line.
  Power(std::function<void(End)> end, std::function<void()> raise)
      : end_(std::move(end)), raise_(std::move(raise)) {}

  // Tells the guest of events; any thread.
  void tell(std::uint8_t events) {
    events_.fetch_or(events);
    raise_();
  }
  void read(std::uint64_t offset, std::span<std::uint8_t> bytes) override {
    put_number(bytes, offset == kEventPort - kSleepPort ? events_.exchange(0) : 0);
  }
  void write(std::uint64_t offset, std::span<const std::uint8_t> bytes) override {
    constexpr std::uint8_t kSleepEnable = 1 << 5;
    if (offset == 0 && bytes[0] == (kSleepEnable | (kOffType << 2))) end_(End::kPowerOff);
    if (offset == kResetPort - kSleepPort && bytes[0] == kResetValue) end_(End::kReset);
  }

  void save(StateWriter& to) const { to.put(events_.load()); }
  Result<void> load(StateReader& from) {
    events_ = TRY(from.get<std::uint8_t>());
    return {};
  }

 private:
  std::function<void(End)> end_;
  std::function<void()> raise_;
  std::atomic<std::uint8_t> events_ = 0;
};

class KeyboardReset : public BusDevice {
 public:
  static constexpr std::uint16_t kPort = 0x64;
  explicit KeyboardReset(std::function<void(End)> end) : end_(std::move(end)) {}

  // The status: ready for a command.
  void read(std::uint64_t, std::span<std::uint8_t> bytes) override { put_number(bytes, 0); }
  void write(std::uint64_t, std::span<const std::uint8_t> bytes) override {
    constexpr std::uint8_t kPulseReset = 0xfe;
    if (bytes[0] == kPulseReset) end_(End::kReset);
  }

 private:
  std::function<void(End)> end_;
};

}  // namespace vrun::vmm
