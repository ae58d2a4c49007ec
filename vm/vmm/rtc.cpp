#include "vm/vmm/rtc.hpp"

#include <ctime>

namespace vrun::vmm {

void Rtc::read(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  put_number(bytes, offset == 1 ? load(index_) : 0xff);
}

void Rtc::write(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  if (offset == 0) index_ = bytes[0] & 0x7f;  // the top bit masks NMI
}

std::uint8_t Rtc::load(std::uint8_t index) const {
  const std::time_t now = now_();
  struct tm time {};
  ::gmtime_r(&now, &time);
  const auto bcd = [](int value) {
    return static_cast<std::uint8_t>(value / 10 * 16 + value % 10);
  };
  switch (index) {
    case 0x00:
      return bcd(time.tm_sec);
    case 0x02:
      return bcd(time.tm_min);
    case 0x04:
      return bcd(time.tm_hour);
    case 0x06:
      return bcd(time.tm_wday + 1);
    case 0x07:
      return bcd(time.tm_mday);
    case 0x08:
      return bcd(time.tm_mon + 1);
    case 0x09:
      return bcd(time.tm_year % 100);
    case 0x32:  // century, where FADT says so and some kernels look anyway
      return bcd(19 + time.tm_year / 100);
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
