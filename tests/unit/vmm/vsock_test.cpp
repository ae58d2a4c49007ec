#include "vm/vmm/vsock.hpp"

#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/vmm/guest_memory.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kMemory = 1 << 20, kData = 0x40000, kDataSize = 0x1000;
constexpr std::uint32_t kPort = 1024, kWrite = 2;
constexpr std::uint16_t kSize = 8, kRx = 0, kTx = 1;

class Link : public DriverLink {
 public:
  void queue_interrupt(std::uint16_t) override {}
  void config_changed() override {}
  void needs_reset(const std::string& why) override { complaint = why; }
  std::string complaint;
};

QueueSetup place_of(std::uint16_t queue) {
  const std::uint64_t at = 0x3000ull * queue;
  return {.size = kSize, .descriptors = at, .available = at + 0x1000, .used = at + 0x2000};
}

// A guest that answers for the agent's port as it likes; one buffer a queue.
class Guest {
 public:
  Guest() : memory(memory_of(kMemory)), vsock(*Vsock::create(Fd(), kPort)) {
    std::vector<std::unique_ptr<Virtqueue>> queues;
    for (std::uint16_t i = 0; i < 3; ++i)
      queues.push_back(std::make_unique<Virtqueue>(memory, place_of(i)));
    vsock->worker().run([&] { vsock->activate(0, std::move(queues), link); });
    host = *vsock->connect();
    ::fcntl(host.get(), F_SETFL, O_NONBLOCK);
    request = take();
    say({.op = VIRTIO_VSOCK_OP_RESPONSE});
  }
  ~Guest() {
    vsock->worker().run([&] { vsock->reset(); });
  }

  struct Word {
    std::uint16_t op = 0;
    std::uint32_t length = 0;
    std::uint32_t room = 1 << 16;
  };
  void say(const Word& word) {
    virtio_vsock_hdr header{};
    header.src_cid = 3;
    header.dst_cid = 2;
    header.src_port = kPort;
    header.dst_port = request.src_port;
    header.type = 1;
    header.op = word.op;
    header.len = word.length;
    header.buf_alloc = word.room;
    memory.write(kData, header);
    offer(kTx, static_cast<std::uint32_t>(sizeof header) + word.length, 0);
  }
  // The next packet from the host; `op` 0: there is none.
  virtio_vsock_hdr take() {
    if (!waits_) offer(kRx, kDataSize, kWrite);
    const auto used = *memory.read<std::uint16_t>(place_of(kRx).used + 2);
    waits_ = used != offered_[kRx];
    return waits_ ? virtio_vsock_hdr{} : *memory.read<virtio_vsock_hdr>(kData + kDataSize);
  }

  GuestMemory memory;
  Link link;
  std::unique_ptr<Vsock> vsock;
  Fd host;
  virtio_vsock_hdr request{};

 private:
  void offer(std::uint16_t queue, std::uint32_t length, std::uint32_t flags) {
    struct {
      std::uint64_t address;
      std::uint32_t length;
      std::uint16_t flags, next;
    } const piece{kData + (queue == kRx ? kDataSize : 0), length, static_cast<std::uint16_t>(flags),
                  0};
    const QueueSetup place = place_of(queue);
    memory.write(place.descriptors + (queue == kRx ? 0 : 16), piece);
    const std::uint16_t head = queue == kRx ? 0 : 1;
    memory.write(place.available + 4 + 2ull * (offered_[queue] % kSize), head);
    memory.write(place.available + 2, ++offered_[queue]);
    vsock->worker().run([&] { vsock->rung(queue); });
  }
  std::uint16_t offered_[2] = {};
  bool waits_ = false;
};

TEST(Vsock, a_guest_that_asks_for_room_again_and_again_gets_one_answer) {
  Guest guest;
  ASSERT_EQ(guest.request.op, VIRTIO_VSOCK_OP_REQUEST);
  for (int i = 0; i < 5000; ++i)
    guest.say({.op = VIRTIO_VSOCK_OP_CREDIT_REQUEST});
  EXPECT_EQ(guest.take().op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
  EXPECT_EQ(guest.take().op, 0) << "nothing else was kept for it";
  guest.say({.op = VIRTIO_VSOCK_OP_CREDIT_REQUEST});
  EXPECT_EQ(guest.take().op, VIRTIO_VSOCK_OP_CREDIT_UPDATE) << "the next one is answered";
}

TEST(Vsock, one_that_sends_and_takes_no_word_is_told_once_how_much_there_is_room_for) {
  Guest guest;
  std::vector<char> bytes(1 << 16);
  for (int i = 0; i < 400; ++i) {
    guest.say({.op = VIRTIO_VSOCK_OP_RW, .length = 3000});
    while (::read(guest.host.get(), bytes.data(), bytes.size()) > 0) {
    }
  }
  const virtio_vsock_hdr told = guest.take();
  EXPECT_EQ(told.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
  EXPECT_EQ(told.fwd_cnt, 400u * 3000);
  EXPECT_EQ(guest.take().op, 0);
}

}  // namespace
}  // namespace vrun::vmm
