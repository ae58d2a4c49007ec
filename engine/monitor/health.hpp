// The probes of a guest: each runs a command every interval and counts its successes and failures.
//
// What is known of one lies in a file of its own name, written whole after each check (four lines:
// starting|healthy|unhealthy, failures in a row, none|good|bad|late of the last check, seconds
// since 1970 when it ended), so that others see it and the next monitor goes on with it.
#pragma once

#include <stdint.h>

namespace vrun::monitor {

struct HealthRules {
  int64_t interval_ms = 0;  // 0: no such probe
  int64_t timeout_ms = 30000, start_period_ms = 0;
  int64_t retries = 3;       // failures in a row until it is unhealthy
  int64_t successes = 1;     // in a row until it is healthy
  int64_t initial_ms = -1;   // before the first check; < 0: as the interval
  int64_t on_unhealthy = 0;  // of main.cpp
  bool once = false;         // ends with its first success
};

class Health {
 public:
  // `check`: what is executed; exit status 0: good, else not. `change`: executed with the state as
  // its last word whenever that has changed. `name`: of its file in `dir`. `lock`: what a check
  // must not inherit. `adopt`: another monitor was killed, go on from the file.
  struct Place {
    const char* name;
    const char* const* check;
    const char** change;  // its last but one word is ours to set
    int dir, lock;
    bool adopt;
  };
  void begin(const HealthRules& rules, const Place& place);
  // From now on it is checked; before, it waits for others.
  void release();
  bool is_there() const { return rules_.interval_ms > 0; }
  bool is_good() const { return !is_there() || state_ == State::kHealthy; }
  int timeout_ms() const;               // for poll; -1: nothing to wait for
  int child() const { return child_; }  // pidfd of the running check, or -1
  // Starts, ends or judges a check when it is time. True once when it turns unhealthy.
  bool tick();
  void stop();

 private:
  enum class State : uint8_t { kStarting, kHealthy, kUnhealthy };
  enum class Last : uint8_t { kNone, kGood, kBad, kLate };
  int run(const char* const* argv) const;
  void start_check();
  bool judge(Last last);
  void tell_change();
  void resume();
  void note() const;

  HealthRules rules_;
  Place place_{};
  int child_ = -1, pid_ = 0;
  int teller_ = 0;  // pid of the one that notes a change
  int64_t began_ = 0, next_ = 0, deadline_ = 0, failures_ = 0, good_ = 0;
  bool released_ = false, acted_ = false;
  State state_ = State::kStarting;
  Last last_ = Last::kNone;
};

}  // namespace vrun::monitor
