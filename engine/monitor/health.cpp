#include "engine/monitor/health.hpp"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/monitor/kernel.hpp"

extern char** environ;

namespace vrun::monitor {

void Health::begin(const HealthRules& rules, const char* const* argv, int dir, int lock) {
  rules_ = rules;
  argv_ = argv;
  dir_ = dir;
  lock_ = lock;
  if (rules_.interval_ms == 0) return;
  began_ = now_ms();
  next_ = began_ + rules_.interval_ms;
  note();
}

int Health::timeout_ms() const {
  if (rules_.interval_ms == 0) return -1;
  const int64_t left = (child_ >= 0 ? deadline_ : next_) - now_ms();
  constexpr int64_t kMost = 3600000;
  return static_cast<int>(left < 0 ? 0 : (left > kMost ? kMost : left));
}

void Health::start_check() {
  // A copy of so small a process is cheap; its memory is not shared while it looks for the program.
  const int pid = ::fork();
  if (pid == 0) {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (lock_ >= 0) ::fcntl(lock_, F_SETFD, FD_CLOEXEC);
    ::setsid();  // what it starts can be killed with it
    ::execve(argv_[0], const_cast<char* const*>(argv_), environ);
    ::_exit(127);
  }
  next_ = now_ms() + rules_.interval_ms;
  if (pid < 0) return;
  pid_ = pid;
  child_ = pidfd_open(pid);
  // The check ends itself in time, with what it started in the guest; this is for one that cannot.
  constexpr int64_t kGraceMs = 1000;
  deadline_ = now_ms() + rules_.timeout_ms + kGraceMs;
}

bool Health::judge(bool good) {
  const State before = state_;
  if (good) {
    failures_ = 0;
    state_ = State::kHealthy;
  } else if (state_ != State::kStarting || now_ms() - began_ >= rules_.start_period_ms) {
    if (++failures_ >= rules_.retries) state_ = State::kUnhealthy;
  }
  note();
  return state_ == State::kUnhealthy && before != State::kUnhealthy;
}

bool Health::tick() {
  if (rules_.interval_ms == 0) return false;
  const int64_t now = now_ms();
  if (child_ < 0) {
    if (now >= next_) start_check();
    return false;
  }
  int status = 0;
  const int ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended == 0 && now < deadline_) return false;
  if (ended == 0) {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, &status, 0);
    status = 1;
  }
  ::close(child_);
  child_ = -1;
  next_ = now + rules_.interval_ms;
  return judge(ended != 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void Health::stop() {
  rules_.interval_ms = 0;
  if (child_ < 0) return;
  int status = 0;
  ::kill(-pid_, SIGKILL);
  ::waitpid(pid_, &status, 0);
  ::close(child_);
  child_ = -1;
}

void Health::note() const {
  Line<64> text;
  const char* const words = state_ == State::kStarting  ? "starting"
                            : state_ == State::kHealthy ? "healthy"
                                                        : "unhealthy";
  text.add(words).add("\n").number(failures_).add("\n");
  const int file = ::openat(dir_, ".health", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return;
  const bool written = ::write(file, text.c_str(), text.size()) == static_cast<long>(text.size());
  ::close(file);
  if (written) ::renameat(dir_, ".health", dir_, "health");
}

}  // namespace vrun::monitor
