#include "engine/monitor/health.hpp"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/monitor/kernel.hpp"

extern char** environ;

namespace vrun::monitor {
namespace {

// By which the states stand in the file.
const char* words_of(int state) {
  return state == 0 ? "starting" : state == 1 ? "healthy" : "unhealthy";
}

const char* last_words(int last) {
  return last == 0 ? "none" : last == 1 ? "good" : last == 2 ? "bad" : "late";
}

}  // namespace

void Health::begin(const HealthRules& rules, const Place& place) {
  rules_ = rules;
  place_ = place;
  if (rules_.interval_ms == 0) {  // a probe that the guest had and has no more
    ::unlinkat(place_.dir, place_.name, 0);
    return;
  }
  if (place_.adopt) resume();
  note();
}

// A guest that was well stays well until a check says otherwise.
void Health::resume() {
  char text[128] = {};
  const int file = ::openat(place_.dir, place_.name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  const long n = ::read(file, text, sizeof text - 1);
  ::close(file);
  if (n <= 0) return;
  state_ = text[0] == 'h' ? State::kHealthy : text[0] == 'u' ? State::kUnhealthy : State::kStarting;
  const char* const line = ::strchr(text, '\n');
  if (line == nullptr) return;
  failures_ = ::strtoll(line + 1, nullptr, 10);
  const char* const last = ::strchr(line + 1, '\n');
  if (last == nullptr) return;
  last_ = last[1] == 'g'   ? Last::kGood
          : last[1] == 'b' ? Last::kBad
          : last[1] == 'l' ? Last::kLate
                           : Last::kNone;
}

void Health::release() {
  if (released_ || !is_there()) return;
  released_ = true;
  began_ = now_ms();
  next_ = began_ + (rules_.initial_ms < 0 ? rules_.interval_ms : rules_.initial_ms);
}

int Health::timeout_ms() const {
  if (!released_ || !is_there() || (rules_.once && state_ == State::kHealthy)) return -1;
  const int64_t left = (child_ >= 0 ? deadline_ : next_) - now_ms();
  constexpr int64_t kMost = 3600000;
  return static_cast<int>(left < 0 ? 0 : (left > kMost ? kMost : left));
}

// A copy of so small a process is cheap; its memory is not shared while it looks for the program.
int Health::run(const char* const* argv) const {
  const int pid = ::fork();
  if (pid != 0) return pid;
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (place_.lock >= 0) ::fcntl(place_.lock, F_SETFD, FD_CLOEXEC);
  ::setsid();  // what it starts can be killed with it
  ::execve(argv[0], const_cast<char* const*>(argv), environ);
  ::_exit(127);
}

void Health::start_check() {
  const int pid = run(place_.check);
  next_ = now_ms() + rules_.interval_ms;
  if (pid < 0) return;
  pid_ = pid;
  child_ = pidfd_open(pid);
  // The check ends itself in time, with what it started in the guest; this is for one that cannot.
  constexpr int64_t kGraceMs = 1000;
  deadline_ = now_ms() + rules_.timeout_ms + kGraceMs;
}

bool Health::judge(Last last) {
  const State before = state_;
  last_ = last;
  if (last == Last::kGood) {
    failures_ = 0;
    if (++good_ >= rules_.successes) {
      state_ = State::kHealthy;
      acted_ = false;
    }
  } else {
    good_ = 0;
    if (state_ != State::kStarting || now_ms() - began_ >= rules_.start_period_ms) {
      if (++failures_ >= rules_.retries) state_ = State::kUnhealthy;
    }
  }
  note();
  if (state_ != before) tell_change();
  // Also for one that was unhealthy when this monitor began: its rules may be others.
  const bool acts = state_ == State::kUnhealthy && !acted_;
  acted_ = acted_ || acts;
  return acts;
}

// It is reaped when the next change is told, or at the guest's end: one waits at most.
void Health::tell_change() {
  int status = 0;
  if (teller_ > 0) ::waitpid(teller_, &status, 0);
  const char** word = place_.change;
  while (word[1] != nullptr)
    ++word;
  *word = words_of(static_cast<int>(state_));
  teller_ = run(place_.change);
}

bool Health::tick() {
  if (!released_ || !is_there()) return false;
  const int64_t now = now_ms();
  if (child_ < 0) {
    const bool over = rules_.once && state_ == State::kHealthy;
    if (!over && now >= next_) start_check();
    return false;
  }
  int status = 0;
  const int ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended == 0 && now < deadline_) return false;
  if (ended == 0) {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, &status, 0);
  }
  ::close(child_);
  child_ = -1;
  next_ = now + rules_.interval_ms;
  constexpr int kLateCode = 124;  // of guest_probe()
  if (ended == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)) return judge(Last::kLate);
  if (!WIFEXITED(status)) return judge(Last::kBad);
  if (WEXITSTATUS(status) == kLateCode) return judge(Last::kLate);
  return judge(WEXITSTATUS(status) == 0 ? Last::kGood : Last::kBad);
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
  Line<128> text;
  text.add(words_of(static_cast<int>(state_))).add("\n").number(failures_).add("\n");
  text.add(last_words(static_cast<int>(last_))).add("\n");
  text.number(last_ == Last::kNone ? 0 : ::time(nullptr)).add("\n");
  Line<64> hidden;
  hidden.add(".").add(place_.name);
  const int file =
      ::openat(place_.dir, hidden.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return;
  const bool written = ::write(file, text.c_str(), text.size()) == static_cast<long>(text.size());
  ::close(file);
  if (written) ::renameat(place_.dir, hidden.c_str(), place_.dir, place_.name);
}

}  // namespace vrun::monitor
