#include "vm/vmm/memory.hpp"

#include "tests/unit/vmm/guest_memory.hpp"
#include "vm/vmm/layout.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kMib = 1 << 20;

TEST(Memory, bytes_written_are_read_back_at_the_same_place) {
  const GuestMemory memory = memory_of(2 * kMib);
  EXPECT_TRUE(memory.write(kMib, std::uint32_t{0xdeadbeef}));
  EXPECT_EQ(memory.read<std::uint32_t>(kMib), 0xdeadbeef);
  EXPECT_EQ(memory.read<std::uint8_t>(kMib + 3), 0xde);
}

TEST(Memory, nothing_is_answered_beyond_its_end) {
  const GuestMemory memory = memory_of(kMib);
  EXPECT_NE(memory.at(kMib - 4, 4), nullptr);
  EXPECT_EQ(memory.at(kMib - 4, 5), nullptr);
  EXPECT_EQ(memory.at(kMib, 1), nullptr);
  EXPECT_NE(memory.at(kMib, 0), nullptr);  // nothing, at the end
  EXPECT_EQ(memory.at(kMib + 1, 0), nullptr);
  EXPECT_EQ(memory.at(~0ull, 2), nullptr);      // an address that wraps
  EXPECT_EQ(memory.at(8, ~0ull - 4), nullptr);  // a length that wraps
  EXPECT_FALSE(memory.read<std::uint64_t>(kMib - 7));
  EXPECT_FALSE(memory.write(kMib - 7, std::uint64_t{1}));
}

TEST(Memory, what_is_beyond_three_gib_goes_on_at_four) {
  const GuestMemory memory = memory_of(layout::kGap + kMib);
  ASSERT_EQ(memory.regions().size(), 2u);
  EXPECT_EQ(memory.at(layout::kGap, 1), nullptr);
  EXPECT_EQ(memory.at(layout::kGap - 1, 2), nullptr);  // does not reach over the gap
  EXPECT_NE(memory.at(layout::kHighRam, kMib), nullptr);
  EXPECT_EQ(memory.at(layout::kHighRam, kMib + 1), nullptr);
  EXPECT_EQ(memory.at(layout::kHighRam, 1) - memory.at(0, 1),
            static_cast<std::ptrdiff_t>(layout::kGap));
}

TEST(Memory, of_its_own_is_empty_and_begins_where_a_huge_page_may) {
  const Result<GuestMemory> memory = GuestMemory::make(3 * kMib);
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory->at(0, 1)) % (2 * kMib), 0u);
  EXPECT_EQ(memory->read<std::uint64_t>(3 * kMib - 8), 0u);
  EXPECT_FALSE(memory->read<std::uint64_t>(3 * kMib - 7));
  memory->use_huge_pages(kMib, kMib);
  memory->use_huge_pages(2 * kMib, kMib);  // the rest of that page is no memory: nothing happens
}

TEST(Memory, half_a_page_is_refused) {
  const Fd fd = *sys::memfd("test-guest");
  EXPECT_EQ(GuestMemory::map(fd, 4095).error().code(), Code::kInvalid);
  EXPECT_EQ(GuestMemory::make(4097).error().code(), Code::kInvalid);
  EXPECT_EQ(GuestMemory::map(fd, 0).error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace vrun::vmm
