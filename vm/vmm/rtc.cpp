#include "vm/vmm/rtc.hpp"

#include <chrono>

namespace vrun::vmm {

void Rtc::read(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  put_number(bytes, offset == 1 ? load(index_) : 0xff);
}

void Rtc::write(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  if (offset == 0) index_ = bytes[0] & 0x7f;  // the top bit masks NMI
}

// Not by the C library: its conversions look at the host's time zone, a file.
std::uint8_t Rtc::load(std::uint8_t index) const {
  using namespace std::chrono;
  const sys_seconds now{seconds(now_())};
  const sys_days day = floor<days>(now);
  const year_month_day date(day);
  const hh_mm_ss time(now - day);
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  const auto bcd = [](auto value) {
    return static_cast<std::uint8_t>(value / 10 * 16 + value % 10);
  };
  switch (index) {
    case 0x00:
      return bcd(time.seconds().count());
    case 0x02:
      return bcd(time.minutes().count());
    case 0x04:
      return bcd(time.hours().count());
    case 0x06:
      return bcd(weekday(day).c_encoding() + 1);
    case 0x07:
      return bcd(static_cast<unsigned>(date.day()));
    case 0x08:
      return bcd(static_cast<unsigned>(date.month()));
    case 0x09:
      return bcd(year % 100);
    case 0x32:  // century, where FADT says so and some kernels look anyway
      return bcd(year / 100);
    case 0x0a:
      return 0x26;  // 32768 Hz, no update in progress: each read takes the time anew
    case 0x0b:
      return 0x02;  // 24 hours, BCD, no interrupts
    case 0x0d:
      return 0x80;  // the battery is good
    default:
      return 0;
  }
}

}  // namespace vrun::vmm
