#include "vm/vmm/pci.hpp"

#include <cstring>

#include "vm/vmm/layout.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kCommand = 0x04, kStatus = 0x06, kBar0 = 0x10, kCapabilities = 0x34;
constexpr std::uint8_t kCommandMemory = 2;
constexpr std::uint64_t kConfigSize = 256, kFunctionSize = 4096;
constexpr std::uint32_t kMemoryOfSlot = 1 << 20;

class HostBridge : public PciDevice {
 public:
  HostBridge() : PciDevice(0x0d57'8086, 0, 0x060000, 0) {}
  void read_memory(std::uint64_t, std::span<std::uint8_t> bytes) override {
    put_number(bytes, ~0ull);
  }
  void write_memory(std::uint64_t, std::span<const std::uint8_t>) override {}

 protected:
  void config_written(std::uint64_t, std::uint64_t) override {}
  void memory_moved(std::uint64_t, std::uint64_t) override {}
};

}  // namespace

PciDevice::PciDevice(std::uint32_t identity, std::uint32_t subsystem, std::uint32_t classes,
                     std::uint64_t memory_size)
    : memory_size_(memory_size) {
  put_number(std::span(config_).subspan(0, 4), identity);
  put_number(std::span(config_).subspan(0x08, 4), (std::uint64_t{classes} << 8) | 1);
  put_number(std::span(config_).subspan(0x2c, 4), subsystem);
  make_writable(kCommand, 2);
  make_writable(0x3c, 1);  // interrupt line: a scratch register
  if (memory_size == 0) return;
  // Sizes are powers of two: the address bits below read as zero, which tells the size.
  const auto mask = static_cast<std::uint32_t>(~(memory_size - 1));
  for (std::uint64_t i = 0; i < 4; ++i)
    make_writable(kBar0 + i, 1, static_cast<std::uint8_t>(mask >> (8 * i)));
}

std::uint8_t PciDevice::add_capability(std::uint8_t id, std::span<const std::uint8_t> bytes) {
  const std::uint8_t at = next_free_;
  config_[at] = id;
  std::memcpy(&config_[at + 2u], bytes.data(), bytes.size());
  config_[last_capability_ == 0 ? kCapabilities : last_capability_ + 1u] = at;
  config_[kStatus] |= 0x10;  // there is a list
  last_capability_ = at;
  next_free_ = static_cast<std::uint8_t>((at + 2 + bytes.size() + 3) & ~3u);
  return at;
}

void PciDevice::make_writable(std::uint64_t offset, std::uint64_t count, std::uint8_t mask) {
  std::memset(&writable_[offset], mask, count);
}

void PciDevice::read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  config_read(offset, bytes.size());
  for (std::uint8_t& byte : bytes)
    byte = offset < kConfigSize ? config_[offset++] : std::uint8_t{0};
}

void PciDevice::write_config(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  if (offset >= kConfigSize) return;
  const std::uint64_t before = memory_at();
  std::uint64_t at = offset;
  for (const std::uint8_t byte : bytes) {
    if (at >= kConfigSize) break;
    const std::uint8_t mask = writable_[at];
    config_[at] = static_cast<std::uint8_t>((config_[at] & ~mask) | (byte & mask));
    ++at;
  }
  const std::uint64_t after = memory_at();
  if (before != after) memory_moved(before, after);
  config_written(offset, at - offset);
}

Result<void> PciDevice::load_config(StateReader& from) {
  const auto saved = TRY((from.get<std::array<std::uint8_t, kConfigSize>>()));
  for (std::size_t i = 0; i < saved.size(); ++i) {
    if ((saved[i] & ~writable_[i]) != (config_[i] & ~writable_[i]))
      return Error(Code::kInvalid, "the saved machine has another device in this place");
  }
  const std::uint64_t before = memory_at();
  config_ = saved;
  if (const std::uint64_t after = memory_at(); before != after) memory_moved(before, after);
  return {};
}

std::uint64_t PciDevice::memory_at() const {
  if (memory_size_ == 0 || (config_[kCommand] & kCommandMemory) == 0) return 0;
  return number_of(std::span(config_).subspan(kBar0, 4)) & ~0xfull;
}

void PciDevice::place_memory(std::uint32_t address) {
  put_number(std::span(config_).subspan(kBar0, 4), address);
}

PciBus::PciBus() : bridge_(new HostBridge) {
  slots_[0] = bridge_.get();
}

// A slot that has just become free is the last to be taken: what the guest still does about its old
// device does not meet the new one.
Result<unsigned> PciBus::add(PciDevice& device) {
  const std::lock_guard guard(lock_);
  for (unsigned i = 1; i < kSlots; ++i) {
    const unsigned slot = 1 + (last_slot_ + i - 1) % (kSlots - 1);
    if (slots_[slot] != nullptr) continue;
    device.place_memory(static_cast<std::uint32_t>(layout::kPciWindow) +
                        (slot - 1) * kMemoryOfSlot);
    slots_[slot] = &device;
    last_slot_ = slot;
    return slot;
  }
  return Error(Code::kInvalid, "a machine has 31 devices at most");
}

void PciBus::remove(unsigned slot) {
  const std::unique_lock alone(users_);
  const std::lock_guard guard(lock_);
  slots_.at(slot) = nullptr;
}

void PciBus::connect(Bus& mmio, Bus& ports) {
  ports.add(layout::kPciPort, 8, ports_);
  mmio.add(layout::kEcam, layout::kEcamSize, config_);
  mmio.add(layout::kPciWindow, layout::kPciWindowSize, window_);
}

void PciBus::save(StateWriter& to) const {
  to.section("PCIB");
  to.put(ports_.address);
  bridge_->save_config(to);
}

Result<void> PciBus::load(StateReader& from) {
  TRY(from.section("PCIB"));
  ports_.address = TRY(from.get<std::uint32_t>());
  return bridge_->load_config(from);
}

PciDevice* PciBus::device_in(std::uint64_t config_offset) const {
  const std::uint64_t function = config_offset / kFunctionSize;  // slot * 8 + function
  const std::uint64_t slot = function / 8;
  return function % 8 == 0 && slot < kSlots ? slots_[slot] : nullptr;
}

void PciBus::Config::read(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  const std::lock_guard guard(bus.lock_);
  if (PciDevice* device = bus.device_in(offset)) device->read_config(offset % kFunctionSize, bytes);
}

void PciBus::Config::write(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  const std::lock_guard guard(bus.lock_);
  if (PciDevice* device = bus.device_in(offset))
    device->write_config(offset % kFunctionSize, bytes);
}

std::optional<std::uint64_t> PciBus::Ports::target(std::uint64_t offset) const {
  constexpr std::uint32_t kEnable = 1u << 31, kBus = 0xff << 16;
  if (offset < 4 || (address & kEnable) == 0 || (address & kBus) != 0) return std::nullopt;
  const std::uint64_t function = (address >> 8) & 0xff;
  return function * kFunctionSize + (address & 0xfc) + (offset - 4);
}

void PciBus::Ports::read(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  const std::lock_guard guard(bus.lock_);
  if (offset == 0 && bytes.size() == 4) return put_number(bytes, address);
  const std::optional<std::uint64_t> at = target(offset);
  PciDevice* const device = at ? bus.device_in(*at) : nullptr;
  if (device != nullptr) device->read_config(*at % kFunctionSize, bytes);
}

void PciBus::Ports::write(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  const std::lock_guard guard(bus.lock_);
  if (offset == 0 && bytes.size() == 4) address = static_cast<std::uint32_t>(number_of(bytes));
  const std::optional<std::uint64_t> at = target(offset);
  PciDevice* const device = at ? bus.device_in(*at) : nullptr;
  if (device != nullptr) device->write_config(*at % kFunctionSize, bytes);
}

PciBus::Found PciBus::device_at(std::uint64_t address) {
  const std::lock_guard guard(lock_);
  for (PciDevice* device : slots_) {
    if (device == nullptr) continue;
    const std::uint64_t at = device->memory_at();
    if (at != 0 && address >= at && address - at < device->memory_size())
      return {device, address - at};
  }
  return {nullptr, 0};
}

void PciBus::Window::read(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  const std::shared_lock inside(bus.users_);
  const Found found = bus.device_at(layout::kPciWindow + offset);
  if (found.device != nullptr) found.device->read_memory(found.offset, bytes);
}

void PciBus::Window::write(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  const std::shared_lock inside(bus.users_);
  const Found found = bus.device_at(layout::kPciWindow + offset);
  if (found.device != nullptr) found.device->write_memory(found.offset, bytes);
}

}  // namespace vrun::vmm
