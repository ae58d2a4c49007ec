// The health check of a guest: runs a command every interval and counts its failures.
#pragma once

#include <stdint.h>

namespace vrun::monitor {

struct HealthRules {
  int64_t interval_ms = 0;  // 0: no health check
  int64_t timeout_ms = 30000, start_period_ms = 0;
  int64_t retries = 3;
};

class Health {
 public:
  // `argv`: what is executed; exit status 0: healthy, else not. `dir`: where the file `health`
  // goes. `lock`: what a check must not inherit.
  void begin(const HealthRules& rules, const char* const* argv, int dir, int lock);
  int timeout_ms() const;               // for poll; -1: nothing to wait for
  int child() const { return child_; }  // pidfd of the running check, or -1
  // Starts, ends or judges a check when it is time. True once when it turns unhealthy.
  bool tick();
  void stop();

 private:
  enum class State : uint8_t { kStarting, kHealthy, kUnhealthy };
  void start_check();
  bool judge(bool good);
  void note() const;

  HealthRules rules_;
  const char* const* argv_ = nullptr;
  int dir_ = -1, lock_ = -1, child_ = -1, pid_ = 0;
  int64_t began_ = 0, next_ = 0, deadline_ = 0, failures_ = 0;
  State state_ = State::kStarting;
};

}  // namespace vrun::monitor
