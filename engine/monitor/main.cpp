// vrun-monitor: the parent of one running guest. It keeps what the guest says, lets others attach,
// checks its health, and when the guest has ended becomes `vrun` again, which writes the end down
// and, by the restart policy, starts the guest and becomes a monitor once more: one process id for
// the whole life of a guest.
//
//   vrun-monitor --KEY=NUMBER ... -- VRUN guest-step TENANT ID
//
// Descriptors: --dir (run/monitors/TENANT/ID), --logs, --pidfd, --lock (kept over exec), --netns
// (likewise: while it is open the guest's interfaces live, and with them their counters), --in,
// --out, --err (pipes) or --console (pty master), --client (somebody attached from the start),
// --notify (gets one byte when all is ready). Numbers: --log-bytes, --log-files, --adopt (after
// another monitor was killed), --delay (no guest yet: wait so many ms, then `start`), --alarm (no
// guest at all: wait until so many ms since 1970 or for SIGHUP, then `tick`; 0: for SIGHUP alone).
// Probes: --probe-N=INTERVAL,TIMEOUT,START,RETRIES,SUCCESSES,INITIAL,ACTION in ms; 0 is postStart,
// 1 startup, 2 readiness, 3 liveness; ACTION 0 nothing, 1 kill and leave, 2 kill and start again,
// 3 stop.
#include <initializer_list>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "engine/monitor/clients.hpp"
#include "engine/monitor/health.hpp"
#include "engine/monitor/journal.hpp"
#include "engine/monitor/kernel.hpp"
#include "engine/monitor/log.hpp"
#include "engine/monitor/protocol.hpp"

extern char** environ;

namespace vrun::monitor {
namespace {

enum class OnUnhealthy : uint8_t { kNothing, kKill, kRestart, kStop };
constexpr int kMostWords = 12;
constexpr size_t kProbes = 4;
enum ProbeNumber : size_t { kPostStart, kStartup, kReadiness, kLiveness };
constexpr int64_t kStopMs = 10000;

struct Options {
  int64_t dir = -1, logs = -1, pidfd = -1, lock = -1, netns = -1, in = -1, out = -1, err = -1,
          console = -1;
  int64_t client = -1, client_flags = 0, notify = -1;
  int64_t log_bytes = 10 << 20, log_files = 3;
  int64_t adopt = 0, delay = -1, alarm = -1;
  HealthRules probes[kProbes];
  char** step = nullptr;  // VRUN guest-step TENANT ID
};

struct Name {
  char text[20];
  int64_t Options::*value;
};

constexpr Name kNames[] = {{"dir", &Options::dir},
                           {"logs", &Options::logs},
                           {"pidfd", &Options::pidfd},
                           {"lock", &Options::lock},
                           {"netns", &Options::netns},
                           {"in", &Options::in},
                           {"out", &Options::out},
                           {"err", &Options::err},
                           {"console", &Options::console},
                           {"client", &Options::client},
                           {"client-flags", &Options::client_flags},
                           {"notify", &Options::notify},
                           {"log-bytes", &Options::log_bytes},
                           {"log-files", &Options::log_files},
                           {"adopt", &Options::adopt},
                           {"delay", &Options::delay},
                           {"alarm", &Options::alarm}};

// --probe-N=NUMBER,NUMBER,...
bool read_probe(Options& options, const char* word) {
  constexpr char kStart[] = "--probe-";
  const size_t length = sizeof kStart - 1;
  if (::strncmp(word, kStart, length) != 0) return false;
  const auto number = static_cast<size_t>(word[length] - '0');
  if (number >= kProbes || word[length + 1] != '=') return false;
  HealthRules& rules = options.probes[number];
  rules.once = number == kPostStart || number == kStartup;
  const char* at = word + length + 2;
  for (int64_t* value :
       {&rules.interval_ms, &rules.timeout_ms, &rules.start_period_ms, &rules.retries,
        &rules.successes, &rules.initial_ms, &rules.on_unhealthy}) {
    char* end = nullptr;
    *value = ::strtoll(at, &end, 10);
    at = *end == ',' ? end + 1 : end;
  }
  return *at == '\0';
}

bool read_option(Options& options, const char* word) {
  if (::strncmp(word, "--", 2) != 0) return false;
  if (read_probe(options, word)) return true;
  const char* const sign = ::strchr(word, '=');
  if (sign == nullptr) return false;
  const auto length = static_cast<size_t>(sign - word - 2);
  for (const Name& name : kNames) {
    if (::strlen(name.text) != length || ::strncmp(name.text, word + 2, length) != 0) continue;
    options.*name.value = ::strtoll(sign + 1, nullptr, 10);
    return true;
  }
  return false;
}

bool read_options(Options& options, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (::strcmp(argv[i], "--") == 0) {
      options.step = argv + i + 1;
      return i + 4 < argc;
    }
    if (!read_option(options, argv[i])) return false;
  }
  return false;
}

int as_fd(int64_t number) {
  return static_cast<int>(number);
}

// VRUN guest-step TENANT ID WORD...
class Step {
 public:
  Step(char** step, const char* a, const char* b = nullptr, const char* c = nullptr,
       const char* d = nullptr) {
    int n = 0;
    for (char** word = step; *word != nullptr && n < kMostWords - 5; ++word)
      words_[n++] = *word;
    for (const char* word : {a, b, c, d})
      words_[n++] = word;
  }
  const char* const* argv() const { return words_; }
  const char** words() { return words_; }
  // Becomes it.
  [[noreturn]] void exec(int lock) const {
    if (lock >= 0 && lock != kLockFd) {
      ::dup2(lock, kLockFd);
      ::close(lock);
    }
    ::execve(words_[0], const_cast<char* const*>(words_), environ);
    ::_exit(127);
  }

 private:
  const char* words_[kMostWords] = {};
};

int listen_at(int dir) {
  Line<64> path;
  path.add("/proc/self/fd/").number(dir).add("/attach");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ::unlinkat(dir, "attach", 0);
  const int socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return -1;
  const bool bound = ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                     ::listen(socket, 8) == 0;
  if (bound) return socket;
  ::close(socket);
  return -1;
}

void forget_on_exec(int fd) {
  if (fd >= 0) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void make_nonblocking(int fd) {
  if (fd >= 0) ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

// Their files, and how guest-step knows them (engine/probe_state.cpp).
constexpr char kProbeNames[kProbes][12] = {"post-start", "startup", "readiness", "health"};

char chunk[2 * kChunk];
char input[kChunk];

class Monitor {
 public:
  explicit Monitor(const Options& options);
  [[noreturn]] void run();

 private:
  bool turn();  // false: the guest has ended
  void take_output();
  void take_from(int& source, Stream stream, char kind);
  void take_from_console();
  void give_input();
  void close_input();
  void handle(const Clients::Message& message);
  void keep_console();
  void begin_probes(int dir);
  void release_probes();
  void act_on_health();
  void act(OnUnhealthy action);
  [[noreturn]] void end();
  int sleep_ms() const;

  const Options& options_;
  int pidfd_, in_, out_, err_, console_;
  Log log_;
  Journal journal_;
  Clients clients_;
  Health probes_[kProbes];
  Step checks_[kProbes], changes_[kProbes];
  size_t input_used_ = 0;
  bool input_ends_ = false;
  OnUnhealthy acted_ = OnUnhealthy::kNothing;
  size_t culprit_ = kLiveness;  // the probe that it was for
  int64_t kill_at_ = 0;
};

Monitor::Monitor(const Options& options)
    : options_(options),
      pidfd_(as_fd(options.pidfd)),
      in_(as_fd(options.in)),
      out_(as_fd(options.out)),
      err_(as_fd(options.err)),
      console_(as_fd(options.console)),
      checks_{{options.step, kProbeNames[0]},
              {options.step, kProbeNames[1]},
              {options.step, kProbeNames[2]},
              {options.step, kProbeNames[3]}},
      changes_{{options.step, "probe-changed", kProbeNames[0], ""},
               {options.step, "probe-changed", kProbeNames[1], ""},
               {options.step, "probe-changed", kProbeNames[2], ""},
               {options.step, "probe-changed", kProbeNames[3], ""}} {
  const int dir = as_fd(options.dir);
  for (const int64_t fd : {options.dir, options.logs, options.pidfd, options.in, options.out,
                           options.err, options.console, options.client, options.notify}) {
    forget_on_exec(as_fd(fd));
  }
  for (const int fd : {in_, out_, err_, console_})
    make_nonblocking(fd);
  log_.open(as_fd(options.logs), {options.log_bytes, options.log_files});
  if (console_ < 0) journal_.open(dir);
  if (console_ < 0 && options.adopt != 0) journal_.recover({out_, err_}, log_, chunk, sizeof chunk);
  clients_.listen(listen_at(dir));
  if (options.client >= 0) {
    clients_.adopt(as_fd(options.client), static_cast<char>(options.client_flags));
  }
  if (console_ >= 0) keep_console();
  begin_probes(dir);
  if (options.notify >= 0) {
    static_cast<void>(!::write(as_fd(options.notify), "k", 1));
    ::close(as_fd(options.notify));
  }
}

void Monitor::begin_probes(int dir) {
  for (size_t i = 0; i < kProbes; ++i) {
    probes_[i].begin(options_.probes[i], {kProbeNames[i], checks_[i].argv(), changes_[i].words(),
                                          dir, as_fd(options_.lock), options_.adopt != 0});
  }
  release_probes();
}

// Each of the first two holds back those after it until it is good.
void Monitor::release_probes() {
  probes_[kPostStart].release();
  if (probes_[kPostStart].is_good()) probes_[kStartup].release();
  if (!probes_[kPostStart].is_good() || !probes_[kStartup].is_good()) return;
  probes_[kReadiness].release();
  probes_[kLiveness].release();
}

// A pty dies with its master, and the guest with it. A second process holds the master while the
// guest lives, so that the next monitor can take it from there (pidfd_getfd(2)).
void Monitor::keep_console() {
  if (options_.adopt != 0) return;  // the keeper lives
  const int pid = ::fork();
  if (pid != 0) {
    Line<32> text;
    text.number(pid).add(" ").number(console_);
    const int file = ::openat(as_fd(options_.dir), "keeper", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return;
    static_cast<void>(!::write(file, text.c_str(), text.size()));
    ::close(file);
    return;
  }
  ::prctl(PR_SET_NAME, "vrun-keeper");
  // The lock of the monitor above all: it says that the monitor lives.
  const int first = console_ < pidfd_ ? console_ : pidfd_;
  const int second = console_ < pidfd_ ? pidfd_ : console_;
  if (first > 0) ::syscall(SYS_close_range, 0, first - 1, 0);
  if (second > first + 1) ::syscall(SYS_close_range, first + 1, second - 1, 0);
  ::syscall(SYS_close_range, second + 1, ~0U, 0);
  pollfd guest{pidfd_, POLLIN, 0};
  while (::poll(&guest, 1, -1) < 0) {
  }
  ::_exit(0);
}

int Monitor::sleep_ms() const {
  int sleep = clients_.patience_ms();
  const auto sooner = [&](int ms) {
    if (ms >= 0 && (sleep < 0 || ms < sleep)) sleep = ms;
  };
  for (const Health& probe : probes_)
    sooner(probe.timeout_ms());
  if (kill_at_ > 0) {
    const int64_t left = kill_at_ - now_ms();
    sooner(static_cast<int>(left < 0 ? 0 : left));
  }
  return sleep;
}

bool Monitor::turn() {
  constexpr size_t kOwn = 5 + kProbes;
  pollfd fds[kOwn + Clients::kMost + 1];
  const bool reads = !clients_.is_stalled();
  const bool can_take = input_used_ == 0;
  fds[0] = {pidfd_, POLLIN, 0};
  fds[1] = {reads ? out_ : -1, POLLIN, 0};
  fds[2] = {reads ? err_ : -1, POLLIN, 0};
  const int terminal = (reads ? POLLIN : 0) | (can_take ? 0 : POLLOUT);
  fds[3] = {terminal != 0 ? console_ : -1, static_cast<short>(terminal), 0};
  fds[4] = {can_take ? -1 : in_, POLLOUT, 0};
  for (size_t i = 0; i < kProbes; ++i)
    fds[5 + i] = {probes_[i].child(), POLLIN, 0};
  const size_t count = clients_.fill(fds + kOwn, can_take);
  if (::poll(fds, kOwn + count, sleep_ms()) < 0) return true;
  clients_.serve(
      fds + kOwn, count,
      [](void* self, const Clients::Message& message) {
        static_cast<Monitor*>(self)->handle(message);
      },
      this);
  if (input_used_ > 0 && (fds[4].revents != 0 || (fds[3].revents & POLLOUT) != 0)) give_input();
  if (reads && (fds[1].revents | fds[2].revents | fds[3].revents) != 0) take_output();
  clients_.drop_stalled(-1);
  act_on_health();
  return fds[0].revents == 0;
}

void Monitor::take_from(int& source, Stream stream, char kind) {
  if (source < 0 || clients_.is_stalled()) return;
  const long n = journal_.take(source, stream, log_, chunk, kChunk);
  if (n > 0) clients_.send(kind, chunk, static_cast<size_t>(n));
  if (n < 0) source = -1;
}

void Monitor::take_from_console() {
  if (console_ < 0 || clients_.is_stalled()) return;
  const ssize_t n = ::read(console_, chunk, kChunk);
  if (n > 0) {
    log_.write(Stream::kOut, chunk, static_cast<size_t>(n));
    clients_.send(kOutput, chunk, static_cast<size_t>(n));
    return;
  }
  // EIO: nobody has the terminal open at the moment; a later process may again.
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  const timespec pause{0, 20000000};
  ::nanosleep(&pause, nullptr);
}

void Monitor::take_output() {
  take_from(out_, Stream::kOut, kOutput);
  take_from(err_, Stream::kErr, kError);
  take_from_console();
}

void Monitor::give_input() {
  const int to = console_ >= 0 ? console_ : in_;
  const ssize_t n = to >= 0 ? ::write(to, input, input_used_) : -1;
  if (n < 0 && to >= 0 && (errno == EAGAIN || errno == EINTR)) return;
  const size_t done = n > 0 ? static_cast<size_t>(n) : input_used_;  // nobody reads: drop it
  ::memmove(input, input + done, input_used_ - done);
  input_used_ -= done;
  if (input_used_ == 0 && input_ends_) close_input();
}

void Monitor::close_input() {
  if (in_ >= 0) ::close(in_);
  in_ = -1;
}

void Monitor::handle(const Clients::Message& message) {
  switch (message.kind) {
    case kInput:
      if (in_ < 0 && console_ < 0) return;
      ::memcpy(input, message.bytes, message.count);
      input_used_ = message.count;
      return give_input();
    case kNoMore:
      input_ends_ = true;
      if (input_used_ == 0) close_input();
      return;
    case kResize: {
      Size size{};
      if (message.count != sizeof size || console_ < 0) return;
      ::memcpy(&size, message.bytes, sizeof size);
      const winsize window{size.rows, size.columns, 0, 0};
      ::ioctl(console_, TIOCSWINSZ, &window);
      return;
    }
    case kSignal:
      if (message.count == 1) pidfd_send(pidfd_, static_cast<unsigned char>(message.bytes[0]));
      return;
    default:
      return;
  }
}

void Monitor::act_on_health() {
  if (kill_at_ > 0 && now_ms() >= kill_at_) {
    pidfd_send(pidfd_, SIGKILL);
    kill_at_ = 0;
  }
  for (size_t i = 0; i < kProbes; ++i) {
    if (!probes_[i].tick() || acted_ != OnUnhealthy::kNothing) continue;
    culprit_ = i;
    act(static_cast<OnUnhealthy>(options_.probes[i].on_unhealthy));
  }
  release_probes();
}

void Monitor::act(OnUnhealthy action) {
  if (action == OnUnhealthy::kNothing) return;
  acted_ = action;
  if (action == OnUnhealthy::kStop) {
    pidfd_send(pidfd_, SIGTERM);
    kill_at_ = now_ms() + kStopMs;
  } else {
    pidfd_send(pidfd_, SIGKILL);
  }
}

void Monitor::run() {
  while (turn()) {
  }
  end();
}

void Monitor::end() {
  for (Health& probe : probes_)
    probe.stop();
  const Ending ending = ending_of(pidfd_);
  // What is still in the pipes: nobody is left to add to it, but a reader may be slow.
  const int64_t deadline = now_ms() + kLastWordsMs;
  while (now_ms() < deadline) {
    pollfd fds[3 + Clients::kMost + 1];
    fds[0] = {out_, POLLIN, 0};
    fds[1] = {err_, POLLIN, 0};
    fds[2] = {console_, POLLIN, 0};
    const size_t count = clients_.fill(fds + 3, true);
    const bool stalled = clients_.is_stalled();
    if (::poll(fds, 3 + count, stalled ? 200 : 0) < 0) continue;
    const bool more = ((fds[0].revents | fds[1].revents | fds[2].revents) & POLLIN) != 0;
    clients_.serve(
        fds + 3, count, [](void*, const Clients::Message&) {}, nullptr);
    clients_.drop_stalled(kLastWordsMs);
    if (!stalled && !more) break;
    if (!stalled) take_output();
  }
  log_.close();
  while (::waitpid(-1, nullptr, 0) > 0) {  // the keeper of the console, which ends with the guest
  }
  int code = -1;
  if (ending.known) {
    code = WIFSIGNALED(ending.status) ? 128 + WTERMSIG(ending.status) : WEXITSTATUS(ending.status);
  }
  clients_.say_end(code);
  Line<16> status;
  if (ending.known) {
    status.number(ending.status);
  } else {
    status.add("unknown");
  }
  constexpr const char* kActions[] = {"", "unhealthy-kill", "unhealthy-restart", "unhealthy-stop"};
  const char* const action =
      acted_ == OnUnhealthy::kNothing ? nullptr : kActions[static_cast<int>(acted_)];
  Step(options_.step, "ended", status.c_str(), action,
       action == nullptr ? nullptr : kProbeNames[culprit_])
      .exec(as_fd(options_.lock));
}

// Between two lives of a guest. SIGTERM (`vrun stop`) ends it.
[[noreturn]] void wait_and_start(const Options& options) {
  sigset_t term;
  ::sigemptyset(&term);
  ::sigaddset(&term, SIGTERM);
  const timespec delay{options.delay / 1000, (options.delay % 1000) * 1000000};
  if (::sigtimedwait(&term, nullptr, &delay) == SIGTERM) ::_exit(0);
  Step(options.step, "start").exec(as_fd(options.lock));
}

// Until a time of the day comes, somebody sets the clock, or somebody has changed what is due. The
// signal stays blocked over both execs: one that comes meanwhile is found here.
[[noreturn]] void sleep_and_tick(const Options& options) {
  sigset_t hup;
  ::sigemptyset(&hup);
  ::sigaddset(&hup, SIGHUP);
  const int signals = ::signalfd(-1, &hup, SFD_CLOEXEC);
  const int timer = ::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
  if (options.alarm > 0) {
    itimerspec when{};
    when.it_value.tv_sec = options.alarm / 1000;
    when.it_value.tv_nsec = (options.alarm % 1000) * 1000000;
    ::timerfd_settime(timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, nullptr);
  }
  pollfd fds[2] = {{signals, POLLIN, 0}, {timer, POLLIN, 0}};
  while (::poll(fds, 2, -1) < 0) {
  }
  signalfd_siginfo taken;
  if (fds[0].revents != 0) static_cast<void>(!::read(signals, &taken, sizeof taken));
  Step(options.step, "tick").exec(as_fd(options.lock));
}

// With CAP_SYS_RESOURCE ext4 lets root write past any quota: the log is the tenant's to pay. What
// is executed from here has the right again.
void obey_quotas() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
  if (::syscall(SYS_capget, &header, sets) != 0) return;
  sets[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
  ::syscall(SYS_capset, &header, sets);  // taking away is always allowed
}

void ignore_signals() {
  sigset_t all;
  ::sigfillset(&all);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGCHLD})
    ::sigdelset(&all, signal);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
}

}  // namespace
}  // namespace vrun::monitor

int main(int argc, char** argv) {
  using namespace vrun::monitor;
  Options options;
  if (!read_options(options, argc, argv)) return 125;
  ::prctl(PR_SET_DUMPABLE, 0);
  ignore_signals();
  obey_quotas();
  if (options.delay >= 0) wait_and_start(options);
  if (options.alarm >= 0) sleep_and_tick(options);
  Monitor monitor(options);
  monitor.run();
}
