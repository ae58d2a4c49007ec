// The network card on a tap of a network namespace that only its test has; the far end of the wire
// is a packet socket.
#include "vm/vmm/net.hpp"

#include <atomic>
#include <cstring>
#include <thread>

#include <sys/socket.h>

#include "tests/unit/vmm/guest_memory.hpp"
#include "tests/unit/vmm/wire.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint16_t kNext = 1, kWrite = 2;
constexpr std::uint16_t kSize = 256;
constexpr std::uint64_t kMerge = 1ull << VIRTIO_NET_F_MRG_RXBUF;

struct Link : DriverLink {
  void queue_interrupt(std::uint16_t queue) override { ++interrupts[queue]; }
  void config_changed() override {}
  void needs_reset(const std::string& why) override {
    fault = why;
    ++faults;
  }
  std::array<std::atomic<int>, 2> interrupts{};
  std::atomic<int> faults = 0;
  std::string fault;
};

// The driver's side: queue 0 receives, 1 sends; each has its rings in a page group of its own.
class NetTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kRings = 0x10000, kBuffers = 0x100000;

  void SetUp() override {
    Wire wire = make_wire();
    if (!wire.tap) GTEST_SKIP() << "needs root, network namespaces and /dev/net/tun";
    far = std::move(wire.far);
    net = *Net::create(std::move(wire.tap), {.mac = {2, 0, 0, 0, 0, 7}, .mtu = 9000});
  }
  void TearDown() override {
    if (net) net->worker().run([&] { net->reset(); });
  }

  static std::uint64_t table(unsigned queue) { return kRings * (queue + 1); }
  static std::uint64_t available(unsigned queue) { return table(queue) + 0x4000; }
  static std::uint64_t used(unsigned queue) { return table(queue) + 0x8000; }

  void start(std::uint64_t features) {
    net->worker().run([&] {
      std::vector<std::unique_ptr<Virtqueue>> queues;
      for (const unsigned queue : {0u, 1u}) {
        queues.push_back(
            std::make_unique<Virtqueue>(memory, QueueSetup{.size = kSize,
                                                           .descriptors = table(queue),
                                                           .available = available(queue),
                                                           .used = used(queue)}));
      }
      net->activate(features, std::move(queues), link);
    });
  }
  void describe(unsigned queue, std::uint16_t index, std::uint64_t address, std::uint32_t length,
                std::uint16_t flags, std::uint16_t next = 0) {
    struct {
      std::uint64_t address;
      std::uint32_t length;
      std::uint16_t flags, next;
    } descriptor{address, length, flags, next};
    ASSERT_TRUE(memory.write(table(queue) + index * 16ull, descriptor));
  }
  void offer(unsigned queue, std::uint16_t head) {
    memory.write(available(queue) + 4 + 2ull * (offered[queue] % kSize), head);
    memory.write(available(queue) + 2, ++offered[queue]);
  }
  void ring(std::uint16_t queue) {
    net->worker().run([&] { net->rung(queue); });
  }
  std::uint16_t used_index(unsigned queue) const {
    return *memory.read<std::uint16_t>(used(queue) + 2);
  }
  std::uint32_t used_length(unsigned queue, unsigned at) const {
    return *memory.read<std::uint32_t>(used(queue) + 8 + 8ull * at);
  }
  bool comes(auto condition) {
    for (int i = 0; i < 2000 && !condition(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return condition();
  }
  static std::string frame(std::size_t bytes) {
    std::string text = "\xff\xff\xff\xff\xff\xff\2\1\1\1\1\1\x88\xb5";
    while (text.size() < bytes)
      text.push_back(static_cast<char>('a' + text.size() % 26));
    return text;
  }
  void send_from_far(const std::string& text) {
    ASSERT_EQ(::send(far.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  std::string hear() { return vmm::hear(far); }

  GuestMemory memory = memory_of(4 << 20);
  Fd far;
  Link link;
  std::unique_ptr<Net> net;
  std::array<std::uint16_t, 2> offered{};
};

TEST_F(NetTest, its_configuration_tells_address_and_mtu) {
  virtio_net_config config{};
  net->read_config(0, {reinterpret_cast<std::uint8_t*>(&config), sizeof config});
  EXPECT_EQ(config.mac[5], 7);
  EXPECT_EQ(config.mtu, 9000);
  EXPECT_EQ(config.status, VIRTIO_NET_S_LINK_UP);
  std::array<std::uint8_t, 4> beyond{1, 1, 1, 1};
  net->read_config(4096, beyond);
  EXPECT_EQ(beyond[0], 1);
}

TEST_F(NetTest, a_frame_that_is_sent_arrives_whole) {
  start(0);
  const std::string text = frame(200);
  std::memcpy(memory.at(kBuffers + kNetHeader, 200), text.data(), 100);
  std::memcpy(memory.at(kBuffers + 0x1000, 100), text.data() + 100, 100);
  describe(1, 0, kBuffers, kNetHeader + 100, kNext, 1);
  describe(1, 1, kBuffers + 0x1000, 100, 0);
  offer(1, 0);
  ring(1);
  EXPECT_EQ(hear(), text);
  EXPECT_EQ(used_index(1), 1);
  EXPECT_EQ(link.interrupts[1], 1);
}

TEST_F(NetTest, more_frames_than_a_turn_has_are_all_sent) {
  start(0);
  const std::string text = frame(60);
  std::memcpy(memory.at(kBuffers + kNetHeader, 60), text.data(), 60);
  for (std::uint16_t i = 0; i < 200; ++i) {
    describe(1, i, kBuffers, kNetHeader + 60, 0);
    offer(1, i);
  }
  ring(1);
  EXPECT_TRUE(comes([&] { return used_index(1) == 200; }));
  EXPECT_EQ(link.faults, 0);
}

TEST_F(NetTest, a_frame_that_cannot_be_is_dropped_and_the_next_goes_out) {
  start(0);
  const std::string text = frame(60);
  std::memcpy(memory.at(kBuffers + kNetHeader, 60), text.data(), 60);
  describe(1, 0, kBuffers, 5, 0);                          // not even a header
  describe(1, 1, kBuffers, kNetHeader + 3, 0);             // not even an Ethernet header
  describe(1, 2, kBuffers, kNetHeader + 70000, 0);         // larger than any frame
  describe(1, 3, kBuffers + 0x40000, kNetHeader + 60, 0);  // asks for what was not negotiated
  memory.write(kBuffers + 0x40000, virtio_net_hdr{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                                  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                                  .hdr_len = 54,
                                                  .gso_size = 10,
                                                  .csum_start = 34,
                                                  .csum_offset = 16});
  describe(1, 4, kBuffers, kNetHeader + 60, 0);
  for (std::uint16_t i = 0; i < 5; ++i)
    offer(1, i);
  ring(1);
  EXPECT_EQ(hear(), text);
  EXPECT_EQ(used_index(1), 5);
  EXPECT_EQ(link.faults, 0);
}

TEST_F(NetTest, a_frame_that_comes_lies_behind_its_header) {
  describe(0, 0, kBuffers, 2048, kWrite);
  offer(0, 0);
  start(kMerge);
  const std::string text = frame(300);
  send_from_far(text);
  ASSERT_TRUE(comes([&] { return used_index(0) == 1; }));
  EXPECT_EQ(used_length(0, 0), 300 + kNetHeader);
  EXPECT_EQ(*memory.read<std::uint16_t>(kBuffers + 10), 1);
  EXPECT_EQ(std::memcmp(memory.at(kBuffers + kNetHeader, 300), text.data(), 300), 0);
  EXPECT_TRUE(comes([&] { return link.interrupts[0] == 1; }));
}

TEST_F(NetTest, a_large_frame_is_spread_over_buffers_that_come_together) {
  for (std::uint16_t i = 0; i < 8; ++i) {
    describe(0, i, kBuffers + i * 0x1000ull, 1000, kWrite);
    offer(0, i);
  }
  start(kMerge);
  const std::string text = frame(3500);
  send_from_far(text);
  ASSERT_TRUE(comes([&] { return used_index(0) == 4; }));
  EXPECT_EQ(*memory.read<std::uint16_t>(kBuffers + 10), 4);
  EXPECT_EQ(used_length(0, 3), 3500 + kNetHeader - 3000);
  EXPECT_EQ(std::memcmp(memory.at(kBuffers + 0x3000, 500), text.data() + 3000 - kNetHeader, 500),
            0);
}

TEST_F(NetTest, a_frame_waits_for_buffers) {
  describe(0, 0, kBuffers, 1000, kWrite);
  describe(0, 1, kBuffers + 0x1000, 1000, kWrite);
  offer(0, 0);
  start(kMerge);
  send_from_far(frame(1500));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(used_index(0), 0);
  offer(0, 1);
  ring(0);
  EXPECT_TRUE(comes([&] { return used_index(0) == 2; }));
  EXPECT_EQ(link.faults, 0);
}

TEST_F(NetTest, buffers_that_cannot_take_a_frame_stop_the_card) {
  describe(0, 0, kBuffers, 1000, kWrite);
  offer(0, 0);
  start(0);  // without merging each buffer has to take a whole frame
  send_from_far(frame(1500));
  EXPECT_TRUE(comes([&] { return link.faults == 1; }));
  EXPECT_EQ(used_index(0), 0);
}

TEST_F(NetTest, buffers_that_the_card_may_not_write_stop_it) {
  describe(0, 0, kBuffers, 2000, 0);
  offer(0, 0);
  start(kMerge);
  send_from_far(frame(60));
  EXPECT_TRUE(comes([&] { return link.faults == 1; }));
}

TEST_F(NetTest, a_chain_outside_of_memory_stops_it_until_the_driver_begins_anew) {
  start(kMerge);
  describe(1, 0, 1ull << 60, 100, 0);
  offer(1, 0);
  ring(1);
  EXPECT_EQ(link.faults, 1);
  ring(1);
  ring(0);
  EXPECT_EQ(link.faults, 1);
  offered = {};
  for (const unsigned queue : {0u, 1u}) {
    memory.write(available(queue) + 2, std::uint16_t{0});
    memory.write(used(queue) + 2, std::uint16_t{0});
  }
  net->worker().run([&] { net->reset(); });
  start(kMerge);
  const std::string text = frame(60);
  std::memcpy(memory.at(kBuffers + kNetHeader, 60), text.data(), 60);
  describe(1, 0, kBuffers, kNetHeader + 60, 0);
  offer(1, 0);
  ring(1);
  EXPECT_EQ(hear(), text);
}

TEST(Net, a_descriptor_that_is_no_tap_is_refused) {
  EXPECT_FALSE(Net::create(*sys::memfd("no-tap"), {}).has_value());
}

}  // namespace
}  // namespace vrun::vmm
