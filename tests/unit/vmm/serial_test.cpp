#include "vm/vmm/serial.hpp"

#include <string>

#include <gtest/gtest.h>

#include "vm/vmm/rtc.hpp"

namespace vrun::vmm {
namespace {

struct Port {
  std::string said;
  int interrupts = 0;
  Serial serial{[this](std::string_view text) { said += text; }, [this] { ++interrupts; }};

  std::uint8_t in(std::uint64_t offset) {
    std::uint8_t byte = 0;
    serial.read(offset, std::span(&byte, 1));
    return byte;
  }
  void out(std::uint64_t offset, std::uint8_t byte) { serial.write(offset, std::span(&byte, 1)); }
};

TEST(Serial, a_line_comes_out_whole) {
  Port port;
  for (const char c : std::string("hello"))
    port.out(0, static_cast<std::uint8_t>(c));
  EXPECT_EQ(port.said, "");
  port.out(0, '\n');
  EXPECT_EQ(port.said, "hello\n");
  port.out(0, '$');
  port.serial.flush();
  EXPECT_EQ(port.said, "hello\n$");
}

TEST(Serial, typed_bytes_are_announced_and_read) {
  Port port;
  port.out(1, 1);  // receive interrupts
  EXPECT_EQ(port.serial.type("ab"), 2u);
  EXPECT_EQ(port.interrupts, 1);
  EXPECT_EQ(port.in(2) & 0x0f, 4);
  EXPECT_EQ(port.in(5) & 1, 1);
  EXPECT_EQ(port.in(0), 'a');
  EXPECT_EQ(port.in(0), 'b');
  EXPECT_EQ(port.in(5) & 1, 0);
  EXPECT_EQ(port.in(2) & 0x0f, 1);
}

TEST(Serial, input_is_bounded) {
  Port port;
  EXPECT_EQ(port.serial.type(std::string(10000, 'x')), 256u);
  EXPECT_EQ(port.serial.type("y"), 0u);
}

TEST(Serial, transmit_interrupts_come_once_for_each_byte) {
  Port port;
  port.out(1, 2);
  EXPECT_EQ(port.in(2) & 0x0f, 2);
  EXPECT_EQ(port.in(2) & 0x0f, 1);  // reading acknowledged it
  port.out(0, 'x');
  EXPECT_EQ(port.in(2) & 0x0f, 2);
}

TEST(Serial, the_divisor_hides_data_and_interrupts) {
  Port port;
  port.out(3, 0x80);
  port.out(0, 0x01);
  port.out(1, 0x02);
  EXPECT_EQ(port.in(0), 1);
  EXPECT_EQ(port.in(1), 2);
  port.out(3, 0x03);
  EXPECT_EQ(port.in(1), 0);
  EXPECT_EQ(port.said, "");
}

TEST(Serial, loopback_is_what_drivers_probe_with) {
  Port port;
  port.out(4, 0x10 | 0x0a);
  EXPECT_EQ(port.in(6) & 0xf0, 0x90);
  port.out(0, 'z');
  EXPECT_EQ(port.in(0), 'z');
  port.serial.flush();
  EXPECT_EQ(port.said, "");
}

std::uint8_t clock_byte(Rtc& rtc, std::uint8_t index) {
  rtc.write(0, std::span<const std::uint8_t>(&index, 1));
  std::uint8_t value = 0;
  rtc.read(1, std::span(&value, 1));
  return value;
}

TEST(Rtc, tells_the_time_in_bcd) {
  Rtc rtc([] { return std::int64_t{1700000000}; });  // Tue 14 Nov 2023, 22:13:20 UTC
  EXPECT_EQ(clock_byte(rtc, 0), 0x20);
  EXPECT_EQ(clock_byte(rtc, 2), 0x13);
  EXPECT_EQ(clock_byte(rtc, 4), 0x22);
  EXPECT_EQ(clock_byte(rtc, 6), 0x03);
  EXPECT_EQ(clock_byte(rtc, 7), 0x14);
  EXPECT_EQ(clock_byte(rtc, 8), 0x11);
  EXPECT_EQ(clock_byte(rtc, 9), 0x23);
  EXPECT_EQ(clock_byte(rtc, 0x32), 0x20);
  EXPECT_EQ(clock_byte(rtc, 0x0a) & 0x80, 0) << "an update that never ends hangs kernels";
}

}  // namespace
}  // namespace vrun::vmm
