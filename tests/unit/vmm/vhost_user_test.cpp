#include "vm/vmm/vhost_user.hpp"

#include <array>
#include <atomic>
#include <cstring>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/vmm/entropy.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kMemory = 1 << 20, kUser = 0x7f0000000000;
constexpr std::uint64_t kTable = 0x1000, kAvailable = 0x2000, kUsed = 0x3000, kBuffer = 0x8000;
constexpr std::uint16_t kWrite = 2;

struct Part {
  std::uint64_t guest, size, user, offset;
};

// QEMU's side, with a device that gives random bytes.
class Front {
 public:
  Front() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    socket = Fd(ends[0]);
    device.emplace(*Entropy::create(), Fd(ends[1]), 1,
                   [this](const std::string& why) { complaint = why; });
    file = *sys::memfd("guest");
    EXPECT_EQ(::ftruncate(file.get(), kMemory), 0);
    memory = static_cast<std::uint8_t*>(
        ::mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0));
    bell = Fd(::eventfd(0, EFD_CLOEXEC));
    interrupt = Fd(::eventfd(0, EFD_CLOEXEC));
  }
  ~Front() {
    device.reset();
    ::munmap(memory, kMemory);
  }

  void send(std::uint32_t request, const std::string& content, int fd = -1) const {
    std::array<std::uint32_t, 3> header{request, 1, static_cast<std::uint32_t>(content.size())};
    std::string bytes(reinterpret_cast<const char*>(header.data()), sizeof header);
    bytes += content;
    EXPECT_TRUE(sys::send(socket.get(), bytes, fd));
  }
  template <typename T>
  void send_value(std::uint32_t request, const T& value, int fd = -1) const {
    send(request, std::string(reinterpret_cast<const char*>(&value), sizeof value), fd);
  }
  // The content of an answer; empty: the connection is at its end.
  std::string receive() const {
    std::array<char, 256> buffer;
    const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    return got <= 12 ? "" : std::string(buffer.data() + 12, static_cast<std::size_t>(got) - 12);
  }
  void send_memory(const Part& part) const {
    struct {
      std::uint32_t count, padding;
      Part part;
    } table{1, 0, part};
    send_value(5, table, file.get());
  }
  void send_queue(std::uint64_t descriptors = kUser + kTable) const {
    send_value(8, std::array<std::uint32_t, 2>{0, 8});
    send_value(10, std::array<std::uint32_t, 2>{0, 0});
    struct {
      std::uint32_t index, flags;
      std::uint64_t descriptors, used, available, log;
    } addresses{0, 0, descriptors, kUser + kUsed, kUser + kAvailable, 0};
    send_value(9, addresses);
    send_value(13, std::uint64_t{0}, interrupt.get());
    send_value(12, std::uint64_t{0}, bell.get());
    send_value(18, std::array<std::uint32_t, 2>{0, 1});
  }
  // One request for 32 bytes, offered and rung for.
  void ask() const {
    const struct {
      std::uint64_t address;
      std::uint32_t length;
      std::uint16_t flags, next;
    } descriptor{kBuffer, 32, kWrite, 0};
    std::memcpy(memory + kTable, &descriptor, sizeof descriptor);
    memory[kAvailable + 2] = 1;
    ::eventfd_write(bell.get(), 1);
  }
  // The request is done, and an interrupt says so; there may be others, as at a queue's start.
  bool served() const {
    pollfd poll{.fd = interrupt.get(), .events = POLLIN, .revents = 0};
    eventfd_t count = 0;
    while (::poll(&poll, 1, 5000) == 1 && ::eventfd_read(interrupt.get(), &count) == 0) {
      std::atomic_thread_fence(std::memory_order_acquire);
      if (static_cast<volatile std::uint8_t*>(memory)[kUsed + 2] == 1) return true;
    }
    return false;
  }

  Fd socket, file, bell, interrupt;
  std::uint8_t* memory = nullptr;
  std::optional<VhostUser> device;
  std::string complaint;
};

constexpr Part kAll{.guest = 0, .size = kMemory, .user = kUser, .offset = 0};

TEST(VhostUser, a_request_is_served_and_the_queue_told_where_it_stopped) {
  Front front;
  front.send(1, "");
  std::uint64_t features = 0;
  const std::string offered = front.receive();
  ASSERT_EQ(offered.size(), sizeof features);
  std::memcpy(&features, offered.data(), sizeof features);
  EXPECT_TRUE((features & kFeatureVersion1) != 0);
  front.send_value(2, kFeatureVersion1 | (1ull << 30));
  front.send_memory(kAll);
  front.send_queue();
  front.ask();
  ASSERT_TRUE(front.served()) << front.complaint;
  EXPECT_EQ(front.memory[kUsed + 2], 1);
  EXPECT_EQ(front.memory[kUsed + 8], 32);
  EXPECT_NE(std::string(reinterpret_cast<char*>(front.memory + kBuffer), 32),
            std::string(32, '\0'));
  front.send_value(11, std::array<std::uint32_t, 2>{0, 0});
  EXPECT_EQ(front.receive(), std::string("\0\0\0\0\1\0\0\0", 8));
}

TEST(VhostUser, memory_of_a_piece_lies_where_the_table_says) {
  Front front;
  front.send_value(2, kFeatureVersion1 | (1ull << 30));
  // The guest's page 0 is the file's second half; the driver's addresses move with it.
  front.send_memory({.guest = 0, .size = kMemory / 2, .user = kUser, .offset = kMemory / 2});
  front.send_queue();
  front.memory += kMemory / 2;
  front.ask();
  EXPECT_TRUE(front.served()) << front.complaint;
  EXPECT_EQ(front.memory[kUsed + 8], 32);
  front.memory -= kMemory / 2;
}

TEST(VhostUser, what_makes_no_sense_ends_the_connection) {
  const std::vector<std::function<void(const Front&)>> wrong{
      [](const Front& front) {
        front.send_memory({.guest = 0, .size = kMemory + 1, .user = kUser, .offset = 0});
      },
      [](const Front& front) {
        front.send_memory({.guest = 0, .size = 4096, .user = kUser, .offset = ~0ull});
      },
      [](const Front& front) {
        front.send_memory({.guest = ~0ull, .size = 4096, .user = kUser, .offset = 0});
      },
      [](const Front& front) { front.send(5, std::string("\x09\0\0\0\0\0\0\0", 8)); },
      [](const Front& front) { front.send(5, ""); },
      [](const Front& front) {
        front.send_memory(kAll);
        front.send_queue(kUser - 1);
      },
      [](const Front& front) {
        front.send_value(8, std::array<std::uint32_t, 2>{1, 8});
      },
      [](const Front& front) {
        front.send_value(8, std::array<std::uint32_t, 2>{0, 7});
      },
      [](const Front& front) {
        front.send_value(8, std::array<std::uint32_t, 2>{0, 65536});
      },
      [](const Front& front) { front.send_value(12, std::uint64_t{0}); },  // without its file
      [](const Front& front) { front.send(24, std::string(12, '\xff')); },
      [](const Front& front) { front.send(99, ""); },
      [](const Front& front) {
        EXPECT_TRUE(sys::send(front.socket.get(), std::string("\x01\0\0\0\x02\0\0\0\0\0\0\0", 12)));
      },
      [](const Front& front) {
        EXPECT_TRUE(
            sys::send(front.socket.get(), std::string("\x01\0\0\0\x01\0\0\0\xff\xff\xff\0", 12)));
      },
  };
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    Front front;
    wrong[i](front);
    EXPECT_EQ(front.receive(), "") << i;
    EXPECT_NE(front.complaint, "") << i;
  }
}

}  // namespace
}  // namespace vrun::vmm
