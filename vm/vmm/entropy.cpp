#include "vm/vmm/entropy.hpp"

#include <algorithm>
#include <array>

#include <sys/random.h>

namespace vrun::vmm {

Result<std::unique_ptr<Entropy>> Entropy::create() {
  std::unique_ptr<Worker> worker = TRY(Worker::create("entropy"));
  return std::unique_ptr<Entropy>(new Entropy(std::move(worker)));
}

void Entropy::activate(std::uint64_t, std::vector<std::unique_ptr<Virtqueue>> queues,
                       DriverLink& driver) {
  queue_ = std::move(queues[0]);
  driver_ = &driver;
  rung(0);
}

void Entropy::rung(std::uint16_t) {
  if (!queue_) return;
  Chain chain;
  do {
    while (queue_->pop(chain)) {
      std::array<std::byte, 256> bytes;  // getrandom(2) gives so many without interruption
      const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
      const std::size_t count = got < 0 ? 0 : static_cast<std::size_t>(got);
      const std::size_t given = copy_in(chain.writable, 0, std::span(bytes).first(count));
      queue_->push(chain.head, static_cast<std::uint32_t>(given));
    }
    if (queue_->needs_interrupt()) driver_->queue_interrupt(0);
  } while (queue_->enable_notify() && !queue_->broken());
  if (queue_->broken()) driver_->needs_reset("entropy: " + queue_->fault());
}

}  // namespace vrun::vmm
