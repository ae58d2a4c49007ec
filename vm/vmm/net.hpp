// A network card (virtio network, Virtual I/O Device 1.2 section 5.1) on a tap device.
//
// The tap is an interface of the host's (tun.rst), opened and attached by whoever hands it over,
// with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR. Frames keep their unfinished checksums and their large
// segments on the way through, as far as the driver can do with them. One pair of queues.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/net_header.hpp"
#include "vm/vmm/virtio.hpp"

namespace vrun::vmm {

struct NetCard {
  std::array<std::uint8_t, 6> mac{};
  std::uint16_t mtu = 1500;  // 68 at least
};

class Net : public VirtioDevice {
 public:
  // kInvalid where the descriptor is no tap with headers.
  static Result<std::unique_ptr<Net>> create(Fd tap, const NetCard& card);

  std::uint16_t type() const override { return 1; }
  std::uint32_t pci_class() const override { return 0x020000; }
  std::uint64_t features() const override;
  std::vector<std::uint16_t> queue_sizes() const override { return {256, 256}; }
  void read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) override;
  void activate(std::uint64_t features, std::vector<std::unique_ptr<Virtqueue>> queues,
                DriverLink& driver) override;
  void rung(std::uint16_t queue) override;
  void reset() override;
  // A machine that goes on may have another card: its agent tells the guest's kernel.
  Result<void> save(StateWriter&) const override { return {}; }
  Result<void> load(StateReader&) override { return {}; }

 private:
  static constexpr std::uint16_t kReceive = 0, kSend = 1;
  enum class Room { kEnough, kNotYet, kBroken };

  Net(std::unique_ptr<Worker> worker, Fd tap, const NetCard& card);
  bool has(unsigned feature) const { return (features_ >> feature & 1U) != 0; }

  // From the tap to the driver.
  void receive();
  bool read_frame();
  bool deliver_frame();
  Room find_room();
  Room broken(const std::string& why);
  // From the driver to the tap. Each does so much in one turn that the other has its turn, too.
  void send();
  bool send_some();
  bool write_frame(const Chain& chain);

  void watch_tap();
  void tell_driver(std::uint16_t queue, std::uint16_t used_before);
  void give_up(const std::string& why);

  Fd tap_;
  NetCard card_;
  std::uint64_t features_ = 0;
  std::unique_ptr<Virtqueue> receive_, send_;
  DriverLink* driver_ = nullptr;
  // A frame that was read and waits for buffers; its header is in front.
  std::vector<std::byte> frame_;
  std::size_t frame_bytes_ = 0;
  std::vector<Chain> room_;  // where it goes
  std::vector<Virtqueue::Done> done_;
  bool wants_room_ = false;  // frames wait until the driver offers buffers
  bool tap_is_full_ = false;
  std::uint32_t watched_ = 0;  // what of the tap is watched
};

}  // namespace vrun::vmm
