// How fast a device may go: a bucket that is filled at a rate. Pure; time comes from outside.
//
// What goes first pays later: a request may begin while there is anything in the bucket, whatever
// its size, and the next one waits until the debt is paid. So a request larger than the bucket
// passes, and the mean over some time is the rate.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace vrun::vmm {

class Bucket {
 public:
  using Clock = std::chrono::steady_clock;

  // A second's worth is filled in a second; a tenth of it fits in. 0: no limit.
  void set(std::uint64_t rate, Clock::time_point now) {
    fill(now);
    rate_ = rate;
    level_ = std::min(level_, room());
    if (!begun_) level_ = room();
    begun_ = true;
  }
  // How long the next request has to wait.
  std::chrono::milliseconds wait(Clock::time_point now) {
    if (rate_ == 0) return {};
    fill(now);
    if (level_ > 0) return {};
    const double seconds = (1 - level_) / static_cast<double>(rate_);
    return std::chrono::milliseconds(1 + static_cast<std::int64_t>(std::min(seconds, 60.0) * 1000));
  }
  void pay(std::uint64_t amount) {
    if (rate_ != 0) level_ -= static_cast<double>(amount);
  }

 private:
  double room() const { return std::max(1.0, static_cast<double>(rate_) / 10); }
  void fill(Clock::time_point now) {
    const double seconds = std::chrono::duration<double>(now - filled_).count();
    filled_ = now;
    level_ = std::min(level_ + seconds * static_cast<double>(rate_), room());
  }

  std::uint64_t rate_ = 0;
  double level_ = 0;
  bool begun_ = false;
  Clock::time_point filled_{};
};

// Of a disk; 0: no limit.
struct DiskLimits {
  std::uint64_t read_bytes = 0, write_bytes = 0;            // a second
  std::uint64_t read_operations = 0, write_operations = 0;  // a second
  bool operator==(const DiskLimits&) const = default;
};

}  // namespace vrun::vmm
