// Streams between host and guest (virtio socket, Virtual I/O Device 1.2 section 5.10).
//
// Connections are made by the host only: whoever connects to the listening unix socket is connected
// to `port` of the guest. What the guest tries to reach on the host is refused. Each stream keeps
// at most kBuffer bytes that the host has not read yet; a guest that sends more loses the stream.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <linux/virtio_vsock.h>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/virtio.hpp"

namespace vrun::vmm {

class Vsock : public VirtioDevice {
 public:
  static constexpr std::uint32_t kBuffer = 256 << 10;
  static constexpr std::size_t kMostStreams = 256;

  // `listener`: a listening stream socket, or none.
  static Result<std::unique_ptr<Vsock>> create(Fd listener, std::uint32_t port);

  // A stream from inside the VMM: the end that a client of the listener would have. Any thread. It
  // waits for the guest's driver; the guest's refusal is its end of file.
  Result<Fd> connect();

  std::uint16_t type() const override { return 19; }
  std::vector<std::uint16_t> queue_sizes() const override { return {256, 256, 16}; }
  void read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) override;
  void activate(std::uint64_t features, std::vector<std::unique_ptr<Virtqueue>> queues,
                DriverLink& driver) override;
  void rung(std::uint16_t queue) override;
  void reset() override;
  // Streams do not survive a snapshot: the guest of one finds them reset.
  Result<void> save(StateWriter& to) const override;
  Result<void> load(StateReader& from) override;

 private:
  struct Stream {
    Fd socket;
    std::uint32_t port = 0;      // ours; the guest's is port_ for all
    bool connected = false;      // the guest accepted
    bool host_ended = false;     // the host sends no more, and the guest knows
    bool guest_ended = false;    // the guest sends no more
    std::string to_host;         // not taken by the socket yet
    std::uint32_t received = 0;  // bytes of the guest that the socket took (fwd_cnt)
    std::uint32_t told = 0;      // the value of it that the guest knows
    bool tells_room = false;     // a word with that value waits
    std::uint32_t sent = 0;      // bytes for the guest
    std::uint32_t peer_room = 0, peer_taken = 0;
    std::uint32_t credit() const { return peer_room - (sent - peer_taken); }
  };
  // A packet without content that waits for a place in the guest's queue.
  struct Control {
    std::uint32_t port = 0, peer_port = 0;
    std::uint16_t op = 0;
    std::uint32_t flags = 0;
  };

  Vsock(std::unique_ptr<Worker> worker, Fd listener, std::uint32_t port);
  void accept();
  void begin(Fd socket);
  void serve_guest();
  void take(const virtio_vsock_hdr& header, const Chain& chain);
  void take_content(Stream& stream, const virtio_vsock_hdr& header, const Chain& chain);
  void write_out(Stream& stream);
  void tell_room(Stream& stream);
  void socket_ready(std::uint32_t port, std::uint32_t events);
  // Sends what waits: control packets first, then content of sockets that have some.
  void feed_guest();
  bool feed(Stream& stream);
  virtio_vsock_hdr header_for(const Control& control) const;
  void watch(const Stream& stream);
  void drop(std::uint32_t port, bool tell_guest);
  // A guest that asks for more than it takes loses its own answers.
  void tell(const Control& control);
  void interrupt_if_needed();

  Fd listener_;
  std::uint32_t port_;
  std::uint32_t next_port_ = 1 << 30;
  std::map<std::uint32_t, Stream> streams_;
  std::deque<Control> waiting_;  // bounded: whatever the guest says adds no more than kMostWaiting
  std::vector<Fd> early_;        // until there is a driver
  std::unique_ptr<Virtqueue> rx_, tx_;
  DriverLink* driver_ = nullptr;
};

}  // namespace vrun::vmm
