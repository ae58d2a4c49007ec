#include "vm/vmm/virtqueue.hpp"

#include <string>

#include "tests/unit/vmm/guest_memory.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint16_t kNext = 1, kWrite = 2, kIndirect = 4;
constexpr std::uint64_t kMemory = 1 << 20;

// The driver's side of a queue of eight.
class Driver {
 public:
  static constexpr std::uint16_t kSize = 8;
  static constexpr std::uint64_t kTable = 0x1000, kAvailable = 0x2000, kUsed = 0x3000;

  explicit Driver(bool event_index = false)
      : memory(memory_of(kMemory)),
        queue(memory, {.size = kSize,
                       .descriptors = kTable,
                       .available = kAvailable,
                       .used = kUsed,
                       .event_index = event_index}) {}

  void describe(std::uint64_t index, std::uint64_t address, std::uint32_t length,
                std::uint16_t flags, std::uint16_t next = 0, std::uint64_t table = kTable) {
    struct {
      std::uint64_t address;
      std::uint32_t length;
      std::uint16_t flags, next;
    } descriptor{address, length, flags, next};
    ASSERT_TRUE(memory.write(table + index * 16, descriptor));
  }
  void offer(std::uint16_t head) {
    memory.write(kAvailable + 4 + 2ull * (offered % kSize), head);
    memory.write(kAvailable + 2, ++offered);
  }
  std::uint16_t used_index() const { return *memory.read<std::uint16_t>(kUsed + 2); }

  GuestMemory memory;
  Virtqueue queue;
  std::uint16_t offered = 0;
};

TEST(Virtqueue, a_chain_comes_in_its_two_parts) {
  Driver driver;
  driver.describe(3, 0x8000, 16, kNext, 5);
  driver.describe(5, 0x9000, 512, kNext | kWrite, 1);
  driver.describe(1, 0xa000, 1, kWrite);
  driver.offer(3);
  Chain chain;
  ASSERT_TRUE(driver.queue.pop(chain));
  EXPECT_EQ(chain.head, 3);
  EXPECT_EQ(chain.readable_bytes, 16u);
  EXPECT_EQ(chain.writable_bytes, 513u);
  ASSERT_EQ(chain.writable.size(), 2u);
  EXPECT_EQ(chain.writable[1].iov_base, driver.memory.at(0xa000, 1));
  EXPECT_FALSE(driver.queue.pop(chain));
  EXPECT_FALSE(driver.queue.broken());

  driver.queue.push(3, 513);
  EXPECT_EQ(driver.used_index(), 1);
  EXPECT_EQ(driver.memory.read<std::uint32_t>(Driver::kUsed + 4), 3u);
  EXPECT_EQ(driver.memory.read<std::uint32_t>(Driver::kUsed + 8), 513u);
}

TEST(Virtqueue, several_are_pushed_as_one_and_several_pops_are_taken_back) {
  Driver driver;
  for (std::uint16_t head = 1; head <= 3; ++head) {
    driver.describe(head, 0x8000, 4, kWrite);
    driver.offer(head);
  }
  Chain chain;
  ASSERT_TRUE(driver.queue.pop(chain) && driver.queue.pop(chain) && driver.queue.pop(chain));
  driver.queue.unpop(2);
  ASSERT_TRUE(driver.queue.pop(chain));
  EXPECT_EQ(chain.head, 2);
  const Virtqueue::Done done[] = {{1, 4}, {2, 3}};
  driver.queue.push(done);
  EXPECT_EQ(driver.used_index(), 2);
  EXPECT_EQ(driver.memory.read<std::uint32_t>(Driver::kUsed + 12), 2u);
  EXPECT_EQ(driver.memory.read<std::uint32_t>(Driver::kUsed + 16), 3u);
}

TEST(Virtqueue, an_indirect_table_is_followed) {
  Driver driver;
  driver.describe(0, 0x5000, 32, kIndirect);
  driver.describe(0, 0x8000, 4, kNext, 1, 0x5000);
  driver.describe(1, 0x9000, 8, kWrite, 0, 0x5000);
  driver.offer(0);
  Chain chain;
  ASSERT_TRUE(driver.queue.pop(chain));
  EXPECT_EQ(chain.readable_bytes, 4u);
  EXPECT_EQ(chain.writable_bytes, 8u);
}

TEST(Virtqueue, indices_wrap_around) {
  Driver driver;
  driver.describe(0, 0x8000, 4, 0);
  Chain chain;
  for (int i = 0; i < 70000; ++i) {
    driver.offer(0);
    ASSERT_TRUE(driver.queue.pop(chain)) << i;
    driver.queue.push(chain.head, 0);
  }
  EXPECT_EQ(driver.used_index(), static_cast<std::uint16_t>(70000));
}

TEST(Virtqueue, without_event_index_the_flag_silences_interrupts) {
  Driver driver;
  driver.describe(0, 0x8000, 4, 0);
  driver.offer(0);
  Chain chain;
  ASSERT_TRUE(driver.queue.pop(chain));
  driver.queue.push(0, 0);
  EXPECT_TRUE(driver.queue.needs_interrupt());
  EXPECT_FALSE(driver.queue.needs_interrupt());  // nothing new
  driver.memory.write(Driver::kAvailable, std::uint16_t{1});
  driver.queue.push(0, 0);
  EXPECT_FALSE(driver.queue.needs_interrupt());
}

TEST(Virtqueue, with_event_index_the_wanted_place_counts) {
  Driver driver(true);
  constexpr std::uint64_t kUsedEvent = Driver::kAvailable + 4 + 2 * Driver::kSize;
  driver.memory.write(kUsedEvent, std::uint16_t{1});
  driver.queue.push(0, 0);
  EXPECT_FALSE(driver.queue.needs_interrupt());
  driver.queue.push(0, 0);
  EXPECT_TRUE(driver.queue.needs_interrupt());
  driver.queue.push(0, 0);
  EXPECT_FALSE(driver.queue.needs_interrupt());
}

TEST(Virtqueue, enable_notify_sees_what_came_in_between) {
  Driver driver(true);
  driver.describe(0, 0x8000, 4, 0);
  EXPECT_FALSE(driver.queue.enable_notify());
  driver.offer(0);
  EXPECT_TRUE(driver.queue.enable_notify());
}

// What a hostile driver may write, and the word that the log then has.
struct Attack {
  const char* name;
  void (*prepare)(Driver&);
  const char* word;
};

void PrintTo(const Attack& attack, std::ostream* out) {
  *out << attack.name;
}

class HostileDriver : public testing::TestWithParam<Attack> {};

TEST_P(HostileDriver, breaks_its_own_queue_only) {
  Driver driver;
  GetParam().prepare(driver);
  Chain chain;
  EXPECT_FALSE(driver.queue.pop(chain));
  ASSERT_TRUE(driver.queue.broken());
  EXPECT_NE(driver.queue.fault().find(GetParam().word), std::string::npos) << driver.queue.fault();
  driver.describe(0, 0x8000, 4, 0);
  driver.offer(0);
  EXPECT_FALSE(driver.queue.pop(chain)) << "a broken queue stays so";
}

const Attack kAttacks[] = {
    {"head_beyond_the_table", [](Driver& d) { d.offer(8); }, "descriptor that is none"},
    {"index_far_ahead", [](Driver& d) { d.memory.write(Driver::kAvailable + 2, std::uint16_t{9}); },
     "ran ahead"},
    {"circle",
     [](Driver& d) {
       d.describe(0, 0x8000, 4, kNext, 1);
       d.describe(1, 0x8000, 4, kNext, 0);
       d.offer(0);
     },
     "longer than the queue"},
    {"next_beyond_the_table",
     [](Driver& d) {
       d.describe(0, 0x8000, 4, kNext, 8);
       d.offer(0);
     },
     "out of its table"},
    {"buffer_outside",
     [](Driver& d) {
       d.describe(0, kMemory - 2, 4, 0);
       d.offer(0);
     },
     "outside the memory"},
    {"buffer_that_wraps",
     [](Driver& d) {
       d.describe(0, ~0ull - 1, 0xffffffff, kWrite);
       d.offer(0);
     },
     "outside the memory"},
    {"readable_behind_writable",
     [](Driver& d) {
       d.describe(0, 0x8000, 4, kNext | kWrite, 1);
       d.describe(1, 0x8000, 4, 0);
       d.offer(0);
     },
     "behind writable"},
    {"indirect_in_indirect",
     [](Driver& d) {
       d.describe(0, 0x5000, 16, kIndirect);
       d.describe(0, 0x5000, 16, kIndirect, 0, 0x5000);
       d.offer(0);
     },
     "nest"},
    {"indirect_with_next",
     [](Driver& d) {
       d.describe(0, 0x5000, 16, kIndirect | kNext, 1);
       d.offer(0);
     },
     "nest"},
    {"indirect_of_odd_size",
     [](Driver& d) {
       d.describe(0, 0x5000, 17, kIndirect);
       d.offer(0);
     },
     "no sensible size"},
    {"indirect_too_long",
     [](Driver& d) {
       d.describe(0, 0x5000, 16 * 9, kIndirect);
       d.offer(0);
     },
     "no sensible size"},
    {"indirect_outside",
     [](Driver& d) {
       d.describe(0, kMemory, 16, kIndirect);
       d.offer(0);
     },
     "descriptors are outside"},
};

INSTANTIATE_TEST_SUITE_P(Virtqueue, HostileDriver, testing::ValuesIn(kAttacks),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Virtqueue, rings_outside_the_memory_break_it) {
  const GuestMemory memory = memory_of(kMemory);
  Virtqueue queue(memory, {.size = 8, .descriptors = 0, .available = kMemory, .used = 0});
  Chain chain;
  EXPECT_FALSE(queue.pop(chain));
  EXPECT_TRUE(queue.broken());
}

TEST(Pieces, copies_cross_their_borders) {
  char a[] = "abc", b[] = "defg";
  const iovec pieces[] = {{a, 3}, {b, 4}};
  char out[4] = {};
  EXPECT_EQ(copy_out(pieces, 2, std::as_writable_bytes(std::span(out))), 4u);
  EXPECT_EQ(std::string(out, 4), "cdef");
  EXPECT_EQ(copy_out(pieces, 6, std::as_writable_bytes(std::span(out))), 1u);
  EXPECT_EQ(copy_out(pieces, 7, std::as_writable_bytes(std::span(out))), 0u);
  EXPECT_EQ(copy_in(pieces, 1, std::as_bytes(std::span("XYZ", 3))), 3u);
  EXPECT_EQ(std::string(a, 3) + std::string(b, 4), "aXYZefg");
  const std::vector<iovec> part = part_of(pieces, 2, 3);
  ASSERT_EQ(part.size(), 2u);
  EXPECT_EQ(part[0].iov_len, 1u);
  EXPECT_EQ(part[1].iov_len, 2u);
}

}  // namespace
}  // namespace vrun::vmm
