// What the guest's processors reach by ports and by memory that is no RAM.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace vrun::vmm {

// A device at a range of a bus. Called by the threads of all processors, at the same time: a
// device locks for itself. `offset` is below the size of its range; `bytes` has 1, 2, 4 or 8 and
// may reach beyond the range's end.
class BusDevice {
 public:
  virtual ~BusDevice() = default;
  virtual void read(std::uint64_t offset, std::span<std::uint8_t> bytes) = 0;
  virtual void write(std::uint64_t offset, std::span<const std::uint8_t> bytes) = 0;
};

// Numbers on the bus are little-endian.
inline std::uint64_t number_of(std::span<const std::uint8_t> bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), bytes.size() < sizeof value ? bytes.size() : sizeof value);
  return value;
}
inline void put_number(std::span<std::uint8_t> bytes, std::uint64_t value) {
  for (std::uint8_t& byte : bytes) {
    byte = static_cast<std::uint8_t>(value);
    value >>= 8;
  }
}

// Ranges of devices. Filled before the first processor runs, and only read from then on.
class Bus {
 public:
  void add(std::uint64_t first, std::uint64_t size, BusDevice& device) {
    ranges_.push_back({first, size, &device});
  }
  // Nothing there: reads give all ones, as on a PC, and writes go nowhere.
  void read(std::uint64_t address, std::span<std::uint8_t> bytes) const {
    std::memset(bytes.data(), 0xff, bytes.size());
    if (const Range* range = find(address)) range->device->read(address - range->first, bytes);
  }
  void write(std::uint64_t address, std::span<const std::uint8_t> bytes) const {
    if (const Range* range = find(address)) range->device->write(address - range->first, bytes);
  }

 private:
  struct Range {
    std::uint64_t first, size;
    BusDevice* device;
  };
  const Range* find(std::uint64_t address) const {
    for (const Range& range : ranges_) {
      if (address >= range.first && address - range.first < range.size) return &range;
    }
    return nullptr;
  }
  std::vector<Range> ranges_;
};

}  // namespace vrun::vmm
