#include "vm/vmm/msix.hpp"

#include "vm/vmm/bus.hpp"

namespace vrun::vmm {

void Msix::trigger(std::uint16_t vector) {
  const std::lock_guard guard(lock_);
  if (vector >= table_.size() || (control_ & kEnabled) == 0) return;
  Entry& entry = table_[vector];
  if ((control_ & kMasked) != 0 || entry.masked())
    entry.pending = true;
  else
    send(entry);
}

void Msix::send(Entry& entry) {
  entry.pending = false;
  vm_.signal_msi((std::uint64_t{entry.words[1]} << 32) | entry.words[0], entry.words[2]);
}

void Msix::send_pending() {
  if ((control_ & (kEnabled | kMasked)) != kEnabled) return;
  for (Entry& entry : table_) {
    if (entry.pending && !entry.masked()) send(entry);
  }
}

void Msix::set_control(std::uint16_t value) {
  const std::lock_guard guard(lock_);
  control_ = value & (kEnabled | kMasked);
  send_pending();
}

void Msix::read_table(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  const std::lock_guard guard(lock_);
  for (std::size_t i = 0; i < bytes.size(); ++i, ++offset) {
    const std::uint64_t entry = offset / kEntrySize;
    const std::uint64_t byte = offset % kEntrySize;
    bytes[i] = entry < table_.size()
                   ? static_cast<std::uint8_t>(table_[entry].words[byte / 4] >> (8 * (byte % 4)))
                   : std::uint8_t{0};
  }
}

void Msix::write_table(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  const std::lock_guard guard(lock_);
  for (const std::uint8_t value : bytes) {
    const std::uint64_t entry = offset / kEntrySize;
    const std::uint64_t byte = offset++ % kEntrySize;
    if (entry >= table_.size()) return;
    std::uint32_t& word = table_[entry].words[byte / 4];
    const int shift = static_cast<int>(8 * (byte % 4));
    word = (word & ~(0xffu << shift)) | (std::uint32_t{value} << shift);
  }
  send_pending();
}

void Msix::read_pending(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  const std::lock_guard guard(lock_);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = 0;
    for (std::uint64_t bit = 0; bit < 8; ++bit) {
      const std::uint64_t vector = (offset + i) * 8 + bit;
      if (vector < table_.size() && table_[vector].pending)
        bytes[i] = static_cast<std::uint8_t>(bytes[i] | (1u << bit));
    }
  }
}

void Msix::save(StateWriter& to) {
  const std::lock_guard guard(lock_);
  for (const Entry& entry : table_) {
    for (const std::uint32_t word : entry.words)
      to.put(word);
    to.put(static_cast<std::uint8_t>(entry.pending ? 1 : 0));
  }
  to.put(control_);
}

Result<void> Msix::load(StateReader& from) {
  const std::lock_guard guard(lock_);
  for (Entry& entry : table_) {
    for (std::uint32_t& word : entry.words)
      word = TRY(from.get<std::uint32_t>());
    entry.pending = TRY(from.get_flag());
  }
  control_ = TRY(from.get<std::uint16_t>()) & (kEnabled | kMasked);
  return {};
}

void Msix::reset() {
  const std::lock_guard guard(lock_);
  for (Entry& entry : table_)
    entry = Entry{};
  control_ = 0;
}

}  // namespace vrun::vmm
