// The monitor's little library: no heap, no libstdc++, so that one monitor costs a server some
// 100 KiB. Functions answer like system calls: -1 and errno.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace vrun::monitor {

// A text of bounded length; what does not fit is cut off.
template <size_t Size>
class Line {
 public:
  Line& add(const char* text, size_t length) {
    const size_t n = length < Size - 1 - used_ ? length : Size - 1 - used_;
    memcpy(bytes_ + used_, text, n);
    used_ += n;
    bytes_[used_] = '\0';
    return *this;
  }
  Line& add(const char* text) { return add(text, strlen(text)); }
  Line& number(int64_t value, int width = 0) {
    char digits[24];
    size_t at = sizeof digits;
    const bool negative = value < 0;
    uint64_t rest = negative ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    do {
      digits[--at] = static_cast<char>('0' + rest % 10);
      rest /= 10;
      --width;
    } while (rest > 0 || width > 0);
    if (negative) digits[--at] = '-';
    return add(digits + at, sizeof digits - at);
  }
  const char* c_str() const { return bytes_; }
  char* data() { return bytes_; }
  size_t size() const { return used_; }

 private:
  char bytes_[Size] = {};
  size_t used_ = 0;
};

int64_t now_ms();  // CLOCK_MONOTONIC

int pidfd_send(int pidfd, int signal);
int pidfd_open(int pid);

// How a process ended. known is false where only its end was seen.
struct Ending {
  bool known = false;
  int status = 0;  // as waitpid(2) says it
};
// Of a process that has ended: by waiting for it where it is our child, else by what the kernel
// keeps in the pidfd (PIDFD_GET_INFO with PIDFD_INFO_EXIT, since Linux 6.15).
Ending ending_of(int pidfd);

}  // namespace vrun::monitor
