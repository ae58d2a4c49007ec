// A split virtqueue (Virtual I/O Device 1.2, section 2.7) from the device's side, with indirect
// descriptors and event indices.
//
// The driver in the guest is hostile: every index, length and address is checked, each field is
// read once, chains are bounded by the queue's size. A queue that breaks the rules is broken() and
// gives nothing more until it is set up anew. Used by one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <sys/uio.h>

#include "vm/vmm/memory.hpp"

namespace vrun::vmm {

// One request: what the device reads, and then what it writes. The pieces point into the guest's
// memory, which the guest may change at any time: copy before you check.
struct Chain {
  std::uint16_t head = 0;
  std::vector<iovec> readable, writable;
  std::uint64_t readable_bytes = 0, writable_bytes = 0;
};

// Copies up to to.size() bytes, from `offset` on in the pieces; answers how many there were.
std::size_t copy_out(std::span<const iovec> pieces, std::uint64_t offset, std::span<std::byte> to);
// Copies into the pieces; answers how many bytes found room.
std::size_t copy_in(std::span<const iovec> pieces, std::uint64_t offset,
                    std::span<const std::byte> from);
// The part of the pieces from `offset` on, `count` bytes at most.
std::vector<iovec> part_of(std::span<const iovec> pieces, std::uint64_t offset,
                           std::uint64_t count);

// A value from a request; false where it is too short.
template <typename T>
bool read_value(std::span<const iovec> pieces, std::uint64_t offset, T& value) {
  return copy_out(pieces, offset, std::as_writable_bytes(std::span(&value, 1))) == sizeof value;
}
template <typename T>
bool write_value(std::span<const iovec> pieces, std::uint64_t offset, const T& value) {
  return copy_in(pieces, offset, std::as_bytes(std::span(&value, 1))) == sizeof value;
}

// Where a queue lies, as the driver said.
struct QueueSetup {
  std::uint16_t size = 0;  // a power of two
  std::uint64_t descriptors = 0, available = 0, used = 0;
  bool event_index = false;  // VIRTIO_F_EVENT_IDX was negotiated
};

class Virtqueue {
 public:
  Virtqueue(const GuestMemory& memory, const QueueSetup& setup) : memory_(memory), setup_(setup) {}

  // The next request. False when there is none (or the queue is broken).
  bool pop(Chain& chain);
  // The device is done with a request and wrote `written` bytes into it. needs_interrupt() says
  // whether the driver wants to hear of what was pushed since the last call.
  void push(std::uint16_t head, std::uint32_t written);
  // Several at once: the driver sees all of them or none.
  struct Done {
    std::uint32_t head, written;
  };
  void push(std::span<const Done> done);
  bool needs_interrupt();
  // Takes back the last `count` pop()s: the same requests come again.
  void unpop(std::uint16_t count = 1) {
    next_available_ = static_cast<std::uint16_t>(next_available_ - count);
  }

  // Asks the driver to ring for the next request, or not to. After enable_notify() came back true
  // there are requests that would not be rung for: go on popping.
  bool enable_notify();
  void disable_notify();

  bool broken() const { return !fault_.empty(); }
  const std::string& fault() const { return fault_; }  // what the driver did wrong

  // For snapshots: how far both sides are.
  std::uint16_t next_available() const { return next_available_; }
  std::uint16_t next_used() const { return next_used_; }
  void continue_at(std::uint16_t available, std::uint16_t used) {
    next_available_ = available;
    next_used_ = signalled_used_ = used;
  }

 private:
  struct Descriptor {
    std::uint64_t address;
    std::uint32_t length;
    std::uint16_t flags, next;
  };
  bool gather(Chain& chain);
  bool add_piece(Chain& chain, const Descriptor& descriptor);
  bool broke(const char* fault) {
    fault_ = fault;
    return false;
  }
  std::uint64_t available_event() const { return setup_.used + 4 + 8ull * setup_.size; }
  std::uint64_t used_event() const { return setup_.available + 4 + 2ull * setup_.size; }

  const GuestMemory& memory_;
  QueueSetup setup_;
  std::uint16_t next_available_ = 0, next_used_ = 0, signalled_used_ = 0;
  std::string fault_;
};

}  // namespace vrun::vmm
