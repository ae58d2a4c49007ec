// A guest whose driver writes what a fuzzer thinks of into its rings.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.hpp"
#include "vm/vmm/memory.hpp"
#include "vm/vmm/virtio.hpp"

namespace vrun::fuzz {

// Takes an input apart from its front; zeros behind its end.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  template <typename T>
  T take() {
    T value{};
    const std::size_t count = std::min(sizeof value, size_);
    std::memcpy(&value, data_, count);
    skip(count);
    return value;
  }
  std::string_view rest() const { return {reinterpret_cast<const char*>(data_), size_}; }
  std::string_view take_most(std::size_t most) {
    const std::string_view bytes = rest().substr(0, most);
    skip(bytes.size());
    return bytes;
  }

 private:
  void skip(std::size_t count) {
    data_ += count;
    size_ -= count;
  }
  const std::uint8_t* data_;
  std::size_t size_;
};

class Link : public vmm::DriverLink {
 public:
  void queue_interrupt(std::uint16_t) override {}
  void config_changed() override {}
  void needs_reset(const std::string& why) override { require(!why.empty()); }
};

// All queues lie one after the other: each has a page for descriptors, available and used ring;
// the pieces of requests follow. An input is, for each queue that the driver uses, an index of the
// available ring and that ring's first entries and descriptors; then requests.
class HostileGuest {
 public:
  static constexpr std::uint64_t kMemory = 1 << 20, kQueueBytes = 0x3000, kRequests = 0x20000;
  static constexpr std::size_t kEntries = 8, kDescriptors = 16;

  HostileGuest() : memory_(*vmm::GuestMemory::make(kMemory)) {}
  const vmm::GuestMemory& memory() const { return memory_; }

  // One life of the driver: set up, rung for each queue twice, gone.
  void drive(vmm::VirtioDevice& device, Bytes input) {
    std::memset(memory_.at(0, kMemory), 0, kMemory);
    const auto features = input.take<std::uint64_t>();
    const auto used = input.take<std::uint8_t>();
    std::vector<std::uint16_t> sizes = device.queue_sizes();
    std::vector<std::unique_ptr<vmm::Virtqueue>> queues;
    for (std::uint16_t i = 0; i < sizes.size(); ++i)
      queues.push_back((used >> (i % 8) & 1) != 0 ? queue(i, sizes[i], features, input) : nullptr);
    put(kRequests, input.rest());
    device.worker().run([&] {
      device.activate(features & device.features(), std::move(queues), link_);
      for (int round = 0; round < 2; ++round) {
        for (std::uint16_t i = 0; i < sizes.size(); ++i)
          device.rung(i);
      }
      device.reset();
    });
  }

 private:
  void put(std::uint64_t at, std::string_view bytes) {
    const std::size_t count = std::min<std::size_t>(bytes.size(), kMemory - at);
    std::memcpy(memory_.at(at, count), bytes.data(), count);
  }
  std::unique_ptr<vmm::Virtqueue> queue(std::uint16_t index, std::uint16_t size,
                                        std::uint64_t features, Bytes& input) {
    const std::uint64_t at = index * kQueueBytes;
    const vmm::QueueSetup setup{.size = std::min<std::uint16_t>(size, 128),
                                .descriptors = at,
                                .available = at + 0x1000,
                                .used = at + 0x2000,
                                .event_index = (features & vmm::kFeatureEventIndex) != 0};
    put(setup.available + 2, input.take_most(2 + 2 * kEntries));
    put(setup.descriptors, input.take_most(16 * kDescriptors));
    return std::make_unique<vmm::Virtqueue>(memory_, setup);
  }

  vmm::GuestMemory memory_;
  Link link_;
};

}  // namespace vrun::fuzz
