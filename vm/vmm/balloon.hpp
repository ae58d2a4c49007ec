// Memory that the guest gives back (virtio balloon, Virtual I/O Device 1.2 section 5.5): what it
// says is free (free page reporting), and what it is told to do without.
//
// Pages that come back are taken from the memory's file at once; a guest that touches one finds a
// new page of zeros there, whatever it had promised. Of a machine that goes on from a snapshot it
// is the snapshot's page, which was the guest's own.
#pragma once

#include <atomic>
#include <memory>

#include "base/result.hpp"
#include "vm/vmm/virtio.hpp"

namespace vrun::vmm {

class Balloon : public VirtioDevice {
 public:
  static Result<std::unique_ptr<Balloon>> create(const GuestMemory& memory);

  // What the guest shall have, in bytes: all of its memory, or less. Any thread. kUnsupported while
  // no driver is there, kInvalid for more than the machine has.
  Result<void> resize(std::uint64_t bytes);
  // What it has now, by what was really taken from it. Any thread.
  std::uint64_t size() const;
  // Bytes that the guest reported as free since its start. Any thread.
  std::uint64_t reported() const { return reported_; }

  std::uint16_t type() const override { return 5; }
  std::uint64_t features() const override;
  std::vector<std::uint16_t> queue_sizes() const override;
  void read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) override;
  void write_config(std::uint64_t, std::span<const std::uint8_t>) override {}
  void activate(std::uint64_t features, std::vector<std::unique_ptr<Virtqueue>> queues,
                DriverLink& driver) override;
  void rung(std::uint16_t queue) override;
  void reset() override;
  Result<void> save(StateWriter& to) const override;
  Result<void> load(StateReader& from) override;

 private:
  Balloon(std::unique_ptr<Worker> worker, const GuestMemory& memory);
  void inflate(const Chain& chain);
  void deflate(const Chain& chain);
  void give_back(std::vector<std::uint32_t> pages) const;
  void take_reported(const Chain& chain);

  const GuestMemory& memory_;
  std::vector<std::unique_ptr<Virtqueue>> queues_;
  DriverLink* driver_ = nullptr;
  std::vector<bool> taken_;  // by page: is it in the balloon?
  std::atomic<std::uint32_t> wanted_pages_ = 0, pages_ = 0;
  std::atomic<std::uint64_t> reported_ = 0;
};

}  // namespace vrun::vmm
