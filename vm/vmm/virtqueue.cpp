#include "vm/vmm/virtqueue.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>

namespace vrun::vmm {
namespace {

constexpr std::uint16_t kNext = 1, kWrite = 2, kIndirect = 4;  // VIRTQ_DESC_F_*
constexpr std::uint16_t kNoInterrupt = 1, kNoNotify = 1;       // VIRTQ_AVAIL_F_, VIRTQ_USED_F_
constexpr std::uint32_t kDescriptorSize = 16;

std::byte* bytes_of(const iovec& piece) {
  return static_cast<std::byte*>(piece.iov_base);
}

// Walks over the bytes from `offset` on; `take` gets each contiguous stretch and answers whether
// it wants more.
template <typename Take>
void walk(std::span<const iovec> pieces, std::uint64_t offset, Take take) {
  for (const iovec& piece : pieces) {
    if (offset >= piece.iov_len) {
      offset -= piece.iov_len;
      continue;
    }
    if (!take(bytes_of(piece) + offset, piece.iov_len - offset)) return;
    offset = 0;
  }
}

}  // namespace

std::size_t copy_out(std::span<const iovec> pieces, std::uint64_t offset, std::span<std::byte> to) {
  std::size_t done = 0;
  walk(pieces, offset, [&](const std::byte* from, std::size_t count) {
    const std::size_t n = std::min(count, to.size() - done);
    std::memcpy(to.data() + done, from, n);
    done += n;
    return done < to.size();
  });
  return done;
}

std::size_t copy_in(std::span<const iovec> pieces, std::uint64_t offset,
                    std::span<const std::byte> from) {
  std::size_t done = 0;
  walk(pieces, offset, [&](std::byte* to, std::size_t count) {
    const std::size_t n = std::min(count, from.size() - done);
    std::memcpy(to, from.data() + done, n);
    done += n;
    return done < from.size();
  });
  return done;
}

std::vector<iovec> part_of(std::span<const iovec> pieces, std::uint64_t offset,
                           std::uint64_t count) {
  std::vector<iovec> part;
  walk(pieces, offset, [&](std::byte* at, std::size_t length) {
    const std::size_t n = std::min<std::uint64_t>(length, count);
    if (n > 0) part.push_back({at, n});
    count -= n;
    return count > 0;
  });
  return part;
}

bool Virtqueue::pop(Chain& chain) {
  if (broken()) return false;
  const std::optional<std::uint16_t> available = memory_.read<std::uint16_t>(setup_.available + 2);
  if (!available) return broke("its available ring is outside the memory");
  if (*available == next_available_) return false;
  // Between two of its indices there can be one round at most.
  if (static_cast<std::uint16_t>(*available - next_available_) > setup_.size)
    return broke("its available index ran ahead");
  std::atomic_thread_fence(std::memory_order_acquire);  // the ring after its index
  const std::optional<std::uint16_t> head =
      memory_.read<std::uint16_t>(setup_.available + 4 + 2ull * (next_available_ % setup_.size));
  if (!head || *head >= setup_.size) return broke("it offers a descriptor that is none");
  chain.head = *head;
  chain.readable.clear();
  chain.writable.clear();
  chain.readable_bytes = chain.writable_bytes = 0;
  if (!gather(chain)) return false;
  ++next_available_;
  return true;
}

bool Virtqueue::gather(Chain& chain) {
  std::uint64_t table = setup_.descriptors;
  std::uint32_t table_size = setup_.size;
  std::uint32_t index = chain.head;
  bool indirect = false;
  // One more than the queue's size: the descriptor that leads to an indirect table counts too.
  for (std::uint32_t seen = 0; seen <= setup_.size; ++seen) {
    const std::optional<Descriptor> found =
        memory_.read<Descriptor>(table + std::uint64_t{index} * kDescriptorSize);
    if (!found) return broke("its descriptors are outside the memory");
    if ((found->flags & kIndirect) != 0) {
      if (indirect || (found->flags & kNext) != 0) return broke("its indirect tables nest");
      if (found->length == 0 || found->length % kDescriptorSize != 0 ||
          found->length / kDescriptorSize > setup_.size)
        return broke("an indirect table has no sensible size");
      indirect = true;
      table = found->address;
      table_size = found->length / kDescriptorSize;
      index = 0;
      continue;
    }
    if (!add_piece(chain, *found)) return false;
    if ((found->flags & kNext) == 0) return true;
    index = found->next;
    if (index >= table_size) return broke("a chain leads out of its table");
  }
  return broke("a chain is longer than the queue");
}

bool Virtqueue::add_piece(Chain& chain, const Descriptor& descriptor) {
  const bool writable = (descriptor.flags & kWrite) != 0;
  if (!writable && !chain.writable.empty())
    return broke("a chain has readable parts behind writable ones");
  if (descriptor.length == 0) return true;
  std::byte* at = memory_.at(descriptor.address, descriptor.length);
  if (at == nullptr) return broke("a buffer is outside the memory");
  (writable ? chain.writable : chain.readable).push_back({at, descriptor.length});
  (writable ? chain.writable_bytes : chain.readable_bytes) += descriptor.length;
  return true;
}

void Virtqueue::push(std::uint16_t head, std::uint32_t written) {
  const Done one{head, written};
  push(std::span(&one, 1));
}

void Virtqueue::push(std::span<const Done> done) {
  for (const Done& one : done) {
    if (!memory_.write(setup_.used + 4 + 8ull * (next_used_ % setup_.size), one)) {
      broke("its used ring is outside the memory");
      return;
    }
    ++next_used_;
  }
  std::atomic_thread_fence(std::memory_order_release);  // the elements before the index
  memory_.write(setup_.used + 2, next_used_);
}

bool Virtqueue::needs_interrupt() {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // our index before the driver's wish
  if (!setup_.event_index) {
    const std::uint16_t flags = memory_.read<std::uint16_t>(setup_.available).value_or(0);
    const bool pushed = std::exchange(signalled_used_, next_used_) != next_used_;
    return pushed && (flags & kNoInterrupt) == 0;
  }
  const std::uint16_t wanted = memory_.read<std::uint16_t>(used_event()).value_or(0);
  const std::uint16_t before = std::exchange(signalled_used_, next_used_);
  // vring_need_event(): did the index pass `wanted` since the last interrupt?
  return static_cast<std::uint16_t>(next_used_ - wanted - 1) <
         static_cast<std::uint16_t>(next_used_ - before);
}

bool Virtqueue::enable_notify() {
  if (setup_.event_index)
    memory_.write(available_event(), next_available_);
  else
    memory_.write(setup_.used, std::uint16_t{0});
  std::atomic_thread_fence(std::memory_order_seq_cst);  // our wish before the driver's index
  return memory_.read<std::uint16_t>(setup_.available + 2).value_or(next_available_) !=
         next_available_;
}

void Virtqueue::disable_notify() {
  // With event indices an old one is enough: it is passed once only.
  if (!setup_.event_index) memory_.write(setup_.used, kNoNotify);
}

}  // namespace vrun::vmm
