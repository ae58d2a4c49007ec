#include "vm/vmm/balloon.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include <linux/virtio_balloon.h>
#include <sys/mman.h>

#include "vm/vmm/bus.hpp"
#include "vm/vmm/layout.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint16_t kInflate = 0, kDeflate = 1;
// Queues of features that are not offered: Linux numbers only those that there are, so that
// reporting is 2 there and 4 in the standard. Whichever is set up is it.
constexpr std::size_t kQueues = 5;

// Only whole pages go; `bytes` lies in the guest's memory.
void discard(std::byte* at, std::uint64_t count) {
  const auto first = reinterpret_cast<std::uintptr_t>(at);
  const std::uintptr_t begin = (first + layout::kPage - 1) & ~(layout::kPage - 1);
  const std::uintptr_t end = (first + count) & ~(layout::kPage - 1);
  if (end <= begin) return;
  void* const page = reinterpret_cast<void*>(begin);
  // Out of the file. Parts that are ours alone (the kernel's image) cannot be; they lose what was
  // written to them.
  if (::madvise(page, end - begin, MADV_REMOVE) != 0) ::madvise(page, end - begin, MADV_DONTNEED);
}

}  // namespace

Result<std::unique_ptr<Balloon>> Balloon::create(const GuestMemory& memory) {
  std::unique_ptr<Worker> worker = TRY(Worker::create("balloon"));
  return std::unique_ptr<Balloon>(new Balloon(std::move(worker), memory));
}

Balloon::Balloon(std::unique_ptr<Worker> worker, const GuestMemory& memory)
    : VirtioDevice(std::move(worker)), memory_(memory) {
  const GuestMemory::Region& last = memory.regions().back();
  taken_.resize((last.guest + last.size) / layout::kPage);
}

std::uint64_t Balloon::features() const {
  return 1ull << VIRTIO_BALLOON_F_REPORTING;
}

std::vector<std::uint16_t> Balloon::queue_sizes() const {
  // A report of Linux has 32 ranges (PAGE_REPORTING_CAPACITY), and wants room for them.
  return std::vector<std::uint16_t>(kQueues, 64);
}

Result<void> Balloon::resize(std::uint64_t bytes) {
  if (bytes > memory_.size() || bytes % layout::kPage != 0)
    return Error(Code::kInvalid, "the machine has " + std::to_string(memory_.size() >> 20) +
                                     " MiB, of which the guest can have whole pages");
  bool told = false;
  worker().run([&] {
    if (driver_ == nullptr) return;
    wanted_pages_ = static_cast<std::uint32_t>((memory_.size() - bytes) / layout::kPage);
    driver_->config_changed();
    told = true;
  });
  if (told) return {};
  return Error(Code::kUnsupported, "the guest has no driver of the balloon (yet)")
      .hint("its kernel needs the module virtio_balloon");
}

std::uint64_t Balloon::size() const {
  return memory_.size() - std::uint64_t{pages_} * layout::kPage;
}

void Balloon::read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  const std::array<std::uint32_t, 2> config{wanted_pages_, pages_};
  const auto all = std::as_bytes(std::span(config));
  if (offset >= all.size()) return;
  std::memcpy(bytes.data(), all.data() + offset, std::min(bytes.size(), all.size() - offset));
}

void Balloon::activate(std::uint64_t, std::vector<std::unique_ptr<Virtqueue>> queues,
                       DriverLink& driver) {
  queues_ = std::move(queues);
  driver_ = &driver;
  for (std::uint16_t i = 0; i < queues_.size(); ++i)
    rung(i);
}

void Balloon::reset() {
  queues_.clear();
  driver_ = nullptr;
  // A driver that begins anew has everything again.
  std::fill(taken_.begin(), taken_.end(), false);
  pages_ = 0;
}

Result<void> Balloon::save(StateWriter& to) const {
  to.put(wanted_pages_.load());
  to.put(reported_.load());
  std::string bits((taken_.size() + 7) / 8, '\0');  // a bit a page
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    if (taken_[i]) bits[i / 8] = static_cast<char>(bits[i / 8] | (1 << (i % 8)));
  }
  to.put_text(bits);
  return {};
}

Result<void> Balloon::load(StateReader& from) {
  wanted_pages_ = TRY(from.get<std::uint32_t>());
  reported_ = TRY(from.get<std::uint64_t>());
  const std::string bits = TRY(from.get_text(taken_.size() / 8 + 1));
  if (bits.size() != (taken_.size() + 7) / 8 || wanted_pages_ > taken_.size())
    return Error(Code::kInvalid, "the saved balloon is that of another machine");
  pages_ = 0;
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    taken_[i] = (static_cast<std::uint8_t>(bits[i / 8]) >> (i % 8) & 1) != 0;
    if (taken_[i]) ++pages_;
  }
  return {};
}

void Balloon::rung(std::uint16_t index) {
  Virtqueue* const queue = index < queues_.size() ? queues_[index].get() : nullptr;
  if (queue == nullptr) return;
  Chain chain;
  do {
    while (queue->pop(chain)) {
      if (index == kInflate) {
        inflate(chain);
      } else if (index == kDeflate) {
        deflate(chain);
      } else {
        take_reported(chain);
      }
      queue->push(chain.head, 0);
    }
    if (queue->needs_interrupt()) driver_->queue_interrupt(index);
  } while (queue->enable_notify() && !queue->broken());
  if (queue->broken()) driver_->needs_reset("balloon: " + queue->fault());
}

// A request is a list of page numbers of 32 bits, 256 of them by Linux
// (VIRTIO_BALLOON_ARRAY_PFNS_MAX).
void Balloon::inflate(const Chain& chain) {
  constexpr std::size_t kAtOnce = 256;
  std::vector<std::uint32_t> pages;
  std::uint32_t page = 0;
  for (std::uint64_t at = 0; read_value(chain.readable, at, page); at += sizeof page) {
    if (memory_.at(std::uint64_t{page} * layout::kPage, layout::kPage) == nullptr || taken_[page])
      continue;
    taken_[page] = true;
    ++pages_;
    pages.push_back(page);
    if (pages.size() == kAtOnce) give_back(std::exchange(pages, {}));
  }
  give_back(std::move(pages));
}

// Neighbours go together: one call of the kernel for each run of pages.
void Balloon::give_back(std::vector<std::uint32_t> pages) const {
  std::sort(pages.begin(), pages.end());
  for (std::size_t i = 0, next = 0; i < pages.size(); i = next) {
    for (next = i + 1; next < pages.size() && pages[next] == pages[next - 1] + 1;)
      ++next;
    const std::uint64_t at = std::uint64_t{pages[i]} * layout::kPage;
    const std::uint64_t count = (next - i) * layout::kPage;
    discard(memory_.at(at, count), count);  // RAM, for a run does not cross the devices' gap
  }
}

void Balloon::deflate(const Chain& chain) {
  std::uint32_t page = 0;
  for (std::uint64_t at = 0; read_value(chain.readable, at, page); at += sizeof page) {
    if (page >= taken_.size() || !taken_[page]) continue;
    taken_[page] = false;
    --pages_;
  }
}

void Balloon::take_reported(const Chain& chain) {
  for (const iovec& range : chain.writable) {
    discard(static_cast<std::byte*>(range.iov_base), range.iov_len);
    reported_ += range.iov_len;
  }
}

}  // namespace vrun::vmm
