// The first serial port (NS16550A): the console until the guest's own drivers are there.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include "vm/vmm/bus.hpp"
#include "vm/vmm/state.hpp"

namespace vrun::vmm {

class Serial : public BusDevice {
 public:
  // `out`: takes what the guest says, a line or kMost bytes at a time. `raise`: an edge on the
  // interrupt line.
  Serial(std::function<void(std::string_view)> out, std::function<void()> raise)
      : out_(std::move(out)), raise_(std::move(raise)) {}

  // Input for the guest; answers how much was taken.
  std::size_t type(std::string_view bytes);
  // A message of ours between the guest's lines.
  void say_from_host(std::string_view message);
  // What is still held back of a line.
  void flush();
  // `held` is called whenever the first byte of a line is held back; set before the machine runs.
  void tell_held(std::function<void()> held) { held_ = std::move(held); }

  void read(std::uint64_t offset, std::span<std::uint8_t> bytes) override;
  void write(std::uint64_t offset, std::span<const std::uint8_t> bytes) override;

  void save(StateWriter& to);
  Result<void> load(StateReader& from);

 private:
  static constexpr std::size_t kMost = 256;
  std::uint8_t load(std::uint64_t offset);
  void store(std::uint64_t offset, std::uint8_t value);
  void say(std::uint8_t byte);
  void update_interrupt();

  std::function<void(std::string_view)> out_;
  std::function<void()> raise_, held_;
  std::mutex lock_;
  std::string line_;                // said, not given out yet
  std::deque<std::uint8_t> input_;  // typed, not read yet
  std::uint8_t interrupts_ = 0, line_control_ = 0, modem_control_ = 0x08, scratch_ = 0;
  std::uint8_t divisor_low_ = 12, divisor_high_ = 0;
  bool transmit_empty_ = false;  // its interrupt is pending
};

}  // namespace vrun::vmm
