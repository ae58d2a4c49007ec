// A virtio device for QEMU: the device is ours, its PCI side is QEMU's (QEMU documentation,
// "Vhost-user Protocol").
//
// What VirtioPci is to a guest of our own machine: it carries configuration, queues and
// interrupts between a VirtioDevice and the driver. QEMU says on a socket where the guest's memory
// and the queues lie; rings and interrupts are event descriptors. QEMU is trusted with no more than
// the guest: what it sends is checked, and a message that makes no sense ends the connection.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/memory.hpp"
#include "vm/vmm/virtio.hpp"

namespace vrun::vmm {

class VhostUser : public DriverLink {
 public:
  // Serves `device` to the one who has the other end of `socket`, on the device's worker.
  // `queues`: so many of the device's queues are served, the first ones; the device is active while
  // all of them are. `complain`: what goes wrong, in words.
  VhostUser(std::unique_ptr<VirtioDevice> device, Fd socket, std::size_t queues,
            std::function<void(const std::string&)> complain);
  ~VhostUser() override;
  VhostUser(const VhostUser&) = delete;
  VhostUser& operator=(const VhostUser&) = delete;

  VirtioDevice& device() { return *device_; }

  void queue_interrupt(std::uint16_t queue) override;
  void config_changed() override {}  // no device of ours changes it
  void needs_reset(const std::string& why) override;

 private:
  struct Queue {
    QueueSetup setup;
    std::uint16_t begin = 0;  // where the next request lies, while the device is not active
    Fd bell, interrupt;       // event descriptors
    bool enabled = false;
    Virtqueue* active = nullptr;  // the device's
  };
  // Where QEMU has a piece of the guest's memory in its own address space.
  struct Window {
    std::uint64_t user, size, guest;
  };
  struct Message {
    std::uint32_t request = 0, flags = 0;
    std::vector<std::uint8_t> content;
    std::vector<Fd> files;
  };

  void ready();
  Result<void> serve();
  Result<std::optional<Message>> receive();
  Result<void> take(Message& message);
  Result<void> take_memory(const Message& message);
  Result<void> take_addresses(const Message& message);
  Result<void> take_bell(Message& message, bool interrupt);
  Result<void> stop_queue(const Message& message);
  Result<void> tell_config(const Message& message);
  Result<void> answer(const Message& message, std::span<const std::uint8_t> content);
  Result<void> answer(const Message& message, std::uint64_t value);
  Result<Queue*> queue_of(std::uint64_t index);
  void activate_if_complete();
  void deactivate();

  std::unique_ptr<VirtioDevice> device_;
  Fd socket_;
  std::function<void(const std::string&)> complain_;
  std::uint64_t features_ = 0;
  std::optional<GuestMemory> memory_;
  std::vector<Window> windows_;
  std::vector<Queue> queues_;
  bool active_ = false;
};

}  // namespace vrun::vmm
