// Message-signalled interrupts of one PCI device (PCI Local Bus 3.0, section 6.8.2).
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "vm/vmm/kvm.hpp"
#include "vm/vmm/state.hpp"

namespace vrun::vmm {

class Msix {
 public:
  static constexpr std::uint64_t kEntrySize = 16;
  static constexpr std::uint16_t kEnabled = 1 << 15, kMasked = 1 << 14;  // message control

  Msix(const Vm& vm, std::uint16_t vectors) : vm_(vm), table_(vectors) {}
  std::uint16_t vectors() const { return static_cast<std::uint16_t>(table_.size()); }

  // Any thread. A masked vector is remembered and sent when it is unmasked.
  void trigger(std::uint16_t vector);

  // Message control's writable bits.
  std::uint16_t control() const { return control_; }
  void set_control(std::uint16_t value);
  void read_table(std::uint64_t offset, std::span<std::uint8_t> bytes);
  void write_table(std::uint64_t offset, std::span<const std::uint8_t> bytes);
  void read_pending(std::uint64_t offset, std::span<std::uint8_t> bytes);
  void reset();
  void save(StateWriter& to);
  Result<void> load(StateReader& from);

 private:
  struct Entry {
    std::uint32_t words[4] = {0, 0, 0, 1};  // address, address, data, control (masked)
    bool pending = false;
    bool masked() const { return (words[3] & 1) != 0; }
  };
  void send(Entry& entry);
  void send_pending();

  const Vm& vm_;
  std::mutex lock_;
  std::vector<Entry> table_;
  std::uint16_t control_ = 0;
};

}  // namespace vrun::vmm
