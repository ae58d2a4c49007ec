#include "vm/vmm/block.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <linux/virtio_blk.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "tests/unit/vmm/guest_memory.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kDisk = 64 << 10, kMemory = 1 << 20;
constexpr std::uint64_t kTable = 0, kAvailable = 0x1000, kUsed = 0x2000;
constexpr std::uint64_t kHeader = 0x8000, kData = 0x10000, kStatus = 0x9000;
constexpr std::uint16_t kNext = 1, kWrite = 2;
constexpr std::uint8_t kNotAnswered = 0x77;

class Link : public DriverLink {
 public:
  void queue_interrupt(std::uint16_t) override { ++interrupts; }
  void config_changed() override {}
  void needs_reset(const std::string& why) override { complaint = why; }
  int interrupts = 0;
  std::string complaint;
};

// A guest with a disk of its own whose sectors are 'a', 'b', 'c' ...
class Guest {
 public:
  explicit Guest(bool read_only = false) : memory(memory_of(kMemory)), file(letters()) {
    block = *Block::create(*sys::duplicate(file.get()), read_only, "serial");
    std::vector<std::unique_ptr<Virtqueue>> queues;
    queues.push_back(std::make_unique<Virtqueue>(
        memory,
        QueueSetup{.size = 8, .descriptors = kTable, .available = kAvailable, .used = kUsed}));
    block->worker().run([&] { block->activate(0, std::move(queues), link); });
  }
  ~Guest() {
    block->worker().run([&] { block->reset(); });
  }

  // Header, data and status, as Linux lays them out; answers the status.
  std::uint8_t ask(std::uint32_t type, std::uint64_t sector, std::uint32_t length) {
    const bool gives = type != VIRTIO_BLK_T_IN && type != VIRTIO_BLK_T_GET_ID;
    memory.write(kHeader, type);
    memory.write(kHeader + 8, sector);
    memory.write(kStatus, kNotAnswered);
    describe(0, {kHeader, 16, kNext, static_cast<std::uint16_t>(length == 0 ? 2 : 1)});
    describe(1, {kData, length, static_cast<std::uint16_t>(gives ? kNext : kNext | kWrite), 2});
    describe(2, {kStatus, 1, kWrite, 0});
    return send();
  }
  struct Descriptor {
    std::uint64_t address;
    std::uint32_t length;
    std::uint16_t flags, next;
  };
  void describe(std::uint64_t index, const Descriptor& descriptor) {
    memory.write(kTable + 16 * index, descriptor);
  }
  std::uint8_t send() {
    memory.write(kAvailable + 4 + 2ull * (offered_ % 8), std::uint16_t{0});
    memory.write(kAvailable + 2, ++offered_);
    block->worker().run([&] { block->rung(0); });
    return *memory.read<std::uint8_t>(kStatus);
  }
  std::uint8_t discard(std::uint32_t type, std::uint64_t sector, std::uint32_t sectors) {
    memory.write(kData, virtio_blk_discard_write_zeroes{sector, sectors, 0});
    return ask(type, 0, sizeof(virtio_blk_discard_write_zeroes));
  }
  std::string data(std::size_t count) {
    return {reinterpret_cast<const char*>(memory.at(kData, count)), count};
  }
  std::string on_disk(std::uint64_t sector) const {
    std::string bytes(512, '\0');
    EXPECT_EQ(::pread(file.get(), bytes.data(), 512, static_cast<off_t>(sector * 512)), 512);
    return bytes;
  }

  GuestMemory memory;
  Fd file;
  Link link;
  std::unique_ptr<Block> block;

 private:
  static Fd letters() {
    Fd fd = *sys::memfd("test-disk");
    std::string content;
    for (std::uint64_t i = 0; i < kDisk / 512; ++i)
      content.append(512, static_cast<char>('a' + i % 26));
    EXPECT_TRUE(sys::write_all(fd.get(), content).has_value());
    return fd;
  }
  std::uint16_t offered_ = 0;
};

TEST(Block, sectors_are_read_and_written) {
  Guest guest;
  EXPECT_EQ(guest.ask(VIRTIO_BLK_T_IN, 2, 1024), VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.data(1024), std::string(512, 'c') + std::string(512, 'd'));
  EXPECT_EQ(*guest.memory.read<std::uint32_t>(kUsed + 8), 1025u);
  EXPECT_EQ(guest.ask(VIRTIO_BLK_T_OUT, 7, 512), VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.on_disk(7), std::string(512, 'c'));
  EXPECT_EQ(guest.on_disk(8), std::string(512, 'i'));
  EXPECT_EQ(guest.ask(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.link.interrupts, 3);
}

TEST(Block, what_is_not_on_the_disk_is_an_error_and_changes_nothing) {
  Guest guest;
  constexpr std::uint64_t kSectors = kDisk / 512;
  for (const std::uint32_t type : {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT}) {
    EXPECT_EQ(guest.ask(type, kSectors, 512), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(guest.ask(type, kSectors - 1, 1024), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(guest.ask(type, ~0ull, 512), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(guest.ask(type, 1ull << 55, 512), VIRTIO_BLK_S_IOERR);  // 2^64 bytes
    EXPECT_EQ(guest.ask(type, 0, 511), VIRTIO_BLK_S_IOERR);
  }
  EXPECT_EQ(guest.on_disk(kSectors - 1), std::string(512, 'a' + (kSectors - 1) % 26));
  EXPECT_EQ(sys::stat(guest.file.get())->st_size, static_cast<off_t>(kDisk));
  EXPECT_EQ(guest.link.complaint, "");
}

TEST(Block, a_disk_to_read_is_not_written) {
  Guest guest(true);
  EXPECT_NE(guest.block->features() & 1ull << VIRTIO_BLK_F_RO, 0u);
  EXPECT_EQ(guest.ask(VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(guest.discard(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(guest.discard(VIRTIO_BLK_T_DISCARD, 0, 1), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(guest.on_disk(0), std::string(512, 'a'));
  EXPECT_EQ(guest.ask(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
}

TEST(Block, zeroes_and_discards_stay_on_the_disk) {
  Guest guest;
  EXPECT_EQ(guest.discard(VIRTIO_BLK_T_WRITE_ZEROES, 1, 2), VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.on_disk(0), std::string(512, 'a'));
  EXPECT_EQ(guest.on_disk(1), std::string(512, '\0'));
  EXPECT_EQ(guest.on_disk(3), std::string(512, 'd'));
  EXPECT_EQ(guest.discard(VIRTIO_BLK_T_DISCARD, 127, 2), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(guest.discard(VIRTIO_BLK_T_DISCARD, ~0ull, 1), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(guest.ask(VIRTIO_BLK_T_DISCARD, 0, 8), VIRTIO_BLK_S_UNSUPP);
  EXPECT_EQ(sys::stat(guest.file.get())->st_size, static_cast<off_t>(kDisk));
}

TEST(Block, it_says_its_serial_and_refuses_what_it_does_not_know) {
  Guest guest;
  EXPECT_EQ(guest.ask(VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES), VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.data(7), std::string("serial\0", 7));
  EXPECT_EQ(guest.ask(VIRTIO_BLK_T_GET_ID, 0, 3), VIRTIO_BLK_S_OK);  // no room: what fits
  EXPECT_EQ(guest.ask(999, 0, 512), VIRTIO_BLK_S_UNSUPP);
}

TEST(Block, a_request_without_room_for_its_status_or_a_whole_header_is_given_back) {
  Guest guest;
  guest.memory.write(kStatus, kNotAnswered);
  guest.describe(0, {kHeader, 16, 0, 0});  // nothing to write
  EXPECT_EQ(guest.send(), kNotAnswered);
  guest.describe(0, {kHeader, 15, kNext, 1});
  guest.describe(1, {kStatus, 1, kWrite, 0});
  EXPECT_EQ(guest.send(), kNotAnswered);
  EXPECT_EQ(*guest.memory.read<std::uint16_t>(kUsed + 2), 2);
  EXPECT_EQ(guest.link.complaint, "");
  guest.describe(0, {kMemory, 16, kNext, 1});  // outside of the memory: the queue is broken
  EXPECT_EQ(guest.send(), kNotAnswered);
  EXPECT_EQ(*guest.memory.read<std::uint16_t>(kUsed + 2), 2);
  EXPECT_NE(guest.link.complaint.find("block"), std::string::npos);
}

TEST(Block, a_file_that_became_shorter_is_an_error_of_the_disk) {
  Guest guest;
  ASSERT_EQ(::ftruncate(guest.file.get(), 512), 0);
  EXPECT_EQ(guest.ask(VIRTIO_BLK_T_IN, 4, 512), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(guest.ask(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
}

TEST(Block, a_file_without_whole_sectors_is_no_disk) {
  for (const off_t size : {off_t{0}, off_t{511}, off_t{513}}) {
    Fd file = *sys::memfd("test-disk");
    ASSERT_EQ(::ftruncate(file.get(), size), 0);
    EXPECT_EQ(Block::create(std::move(file), false, "d").error().code(), Code::kInvalid) << size;
  }
}

}  // namespace
}  // namespace vrun::vmm
