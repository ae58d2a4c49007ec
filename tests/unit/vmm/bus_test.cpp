#include "vm/vmm/bus.hpp"

#include <array>

#include <gtest/gtest.h>

#include "vm/vmm/power.hpp"

namespace vrun::vmm {
namespace {

struct Echo : BusDevice {
  void read(std::uint64_t offset, std::span<std::uint8_t> bytes) override {
    put_number(bytes, offset + 1);
  }
  void write(std::uint64_t offset, std::span<const std::uint8_t> bytes) override {
    last = {offset, number_of(bytes)};
  }
  std::pair<std::uint64_t, std::uint64_t> last{};
};

TEST(Bus, a_device_sees_offsets_in_its_range) {
  Echo echo;
  Bus bus;
  bus.add(0x100, 8, echo);
  std::array<std::uint8_t, 2> bytes{};
  bus.read(0x107, bytes);
  EXPECT_EQ(number_of(bytes), 8u);
  bus.write(0x102, std::array<std::uint8_t, 4>{1, 2, 3, 4});
  EXPECT_EQ(echo.last, (std::pair<std::uint64_t, std::uint64_t>{2, 0x04030201}));
}

TEST(Bus, where_nothing_is_all_bits_are_set) {
  Echo echo;
  Bus bus;
  bus.add(0x100, 8, echo);
  std::array<std::uint8_t, 4> bytes{};
  for (const std::uint64_t address : {0ull, 0xffull, 0x108ull, ~0ull}) {
    bus.read(address, bytes);
    EXPECT_EQ(number_of(bytes), 0xffffffffu) << address;
  }
}

TEST(Power, sleep_and_reset_are_said_by_their_ports) {
  End end = End::kNone;
  int raised = 0;
  Power power([&](End how) { end = how; }, [&] { ++raised; });
  power.write(0, std::array<std::uint8_t, 1>{0x14});  // without the enable bit
  EXPECT_EQ(end, End::kNone);
  power.write(0, std::array<std::uint8_t, 1>{0x34});
  EXPECT_EQ(end, End::kPowerOff);
  power.write(2, std::array<std::uint8_t, 1>{1});
  EXPECT_EQ(end, End::kReset);
  EXPECT_EQ(raised, 0);
}

TEST(KeyboardReset, is_ready_at_once_and_resets_by_its_one_command) {
  End end = End::kNone;
  KeyboardReset keyboard([&](End how) { end = how; });
  std::array<std::uint8_t, 1> byte{0xff};
  keyboard.read(0, byte);
  EXPECT_EQ(byte[0], 0);
  for (const std::uint8_t command : std::array<std::uint8_t, 3>{0xff, 0xd1, 0xfe}) {
    EXPECT_EQ(end, End::kNone);
    keyboard.write(0, std::array<std::uint8_t, 1>{command});
  }
  EXPECT_EQ(end, End::kReset);
}

TEST(Power, events_are_told_once) {
  int raised = 0;
  Power power([](End) {}, [&] { ++raised; });
  power.tell(Power::kButton);
  power.tell(Power::kRescan);
  EXPECT_EQ(raised, 2);
  std::array<std::uint8_t, 1> byte{};
  power.read(3, byte);
  EXPECT_EQ(byte[0], Power::kButton | Power::kRescan);
  power.read(3, byte);
  EXPECT_EQ(byte[0], 0);
}

}  // namespace
}  // namespace vrun::vmm
