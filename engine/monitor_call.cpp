#include "engine/monitor_call.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

constexpr const char* kLockName = "monitor";
constexpr const char* kNameFile = "name";

Result<void> make_pipe(const Fd& dir, const char* name, Uid uid, Gid gid) {
  static_cast<void>(sys::unlink(dir, name));
  if (::mkfifoat(dir.get(), name, 0600) != 0) return Error::system(errno, "make a pipe");
  return sys::chown(dir, name, uid, gid);
}

Result<Fd> open_pipe(const Fd& dir, const char* name, int flags) {
  return sys::open(dir, name, flags | O_NOFOLLOW);
}

// A pipe opened without blocking, for a process that does not expect it.
Result<void> make_blocking(const Fd& fd) {
  if (::fcntl(fd.get(), F_SETFL, 0) == 0) return {};
  return Error::system(errno, "open a pipe");
}

// The program that the monitor becomes at the end: ours, also when the file was replaced meanwhile.
Result<std::string> own_program(const Host& host) {
  std::string program = TRY(sys::read_link(At::cwd(), host.proc + "/self/exe"));
  constexpr std::string_view kDeleted = " (deleted)";
  if (program.ends_with(kDeleted)) program.resize(program.size() - kDeleted.size());
  return program;
}

// Nothing of the caller's environment but what finds programs and vrun's own directories.
std::vector<std::string> environment_of(const Guests& guests) {
  std::vector<std::string> env{"VRUN_DATA_DIR=" + guests.places().data,
                               "VRUN_RUN_DIR=" + guests.places().run};
  for (const char* name : {"PATH", "HOME"}) {
    const std::string_view value = guests.host().variable(name);
    if (!value.empty()) env.push_back(std::string(name) + "=" + std::string(value));
  }
  return env;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (std::string& word : words)
    list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

// 0, 1 and 2 belong to the command that started us, and whoever reads its output waits for their
// end.
Result<void> let_go_of_stdio() {
  const Fd null = TRY(sys::open(At::cwd(), "/dev/null", O_RDWR));
  for (int fd = 0; fd <= 2; ++fd) {
    if (::dup2(null.get(), fd) < 0) return Error::system(errno, "close stdio");
  }
  return {};
}

class Words {
 public:
  explicit Words(std::string program) : words_{std::move(program)} {}
  void number(const std::string& name, std::int64_t value) {
    words_.push_back("--" + name + "=" + std::to_string(value));
  }
  void probe(std::size_t number, const HealthRules& rules) {
    if (rules.interval_ms == 0) return;
    std::string values;
    for (const std::int64_t value :
         {rules.interval_ms, rules.timeout_ms, rules.start_period_ms, rules.retries,
          rules.successes, rules.initial_delay_ms, std::int64_t{rules.on_unhealthy}})
      values += (values.empty() ? "" : ",") + std::to_string(value);
    words_.push_back("--probe-" + std::to_string(number) + "=" + values);
  }
  Result<void> descriptor(const std::string& name, const Fd& fd) {
    if (!fd) return {};
    TRY(sys::set_inheritable(fd.get(), true));
    number(name, fd.get());
    return {};
  }
  void step(const std::string& program, const Guests& guests, const std::string& id) {
    for (const std::string& word :
         {std::string("--"), program, std::string("guest-step"), guests.tenant(), id})
      words_.push_back(word);
  }
  Error exec(const Guests& guests) {
    std::vector<std::string> env = environment_of(guests);
    const std::vector<char*> argv = pointers(words_);
    const std::vector<char*> envp = pointers(env);
    ::execve(argv[0], argv.data(), envp.data());
    return Error::system(errno, "execute " + quote(words_[0]));
  }

 private:
  std::vector<std::string> words_;
};

Result<void> add_call(Words& words, const MonitorCall& call) {
  TRY(words.descriptor("dir", call.place.dir));
  TRY(words.descriptor("lock", call.place.lock));
  TRY(words.descriptor("logs", call.logs));
  TRY(words.descriptor("pidfd", call.pidfd));
  TRY(words.descriptor("netns", call.netns));
  TRY(words.descriptor("in", call.pipes.in));
  TRY(words.descriptor("out", call.pipes.out));
  TRY(words.descriptor("err", call.pipes.err));
  TRY(words.descriptor("console", call.console));
  TRY(words.descriptor("client", call.client));
  TRY(words.descriptor("notify", call.notify));
  words.number("client-flags", call.client_flags);
  words.number("log-bytes", static_cast<std::int64_t>(call.log.bytes));
  words.number("log-files", static_cast<std::int64_t>(call.log.files));
  if (call.adopt) words.number("adopt", 1);
  for (std::size_t i = 0; i < call.probes.size(); ++i)
    words.probe(i, call.probes[i]);
  return {};
}

Result<void> exec_monitor(const Guests& guests, const GuestRecord& record,
                          const MonitorCall& call) {
  const std::string program = TRY(own_program(guests.host()));
  Words words(TRY(helper_path("vrun-monitor")));
  TRY(add_call(words, call));
  words.step(program, guests, record.id);
  TRY(let_go_of_stdio());
  return words.exec(guests);
}

Result<void> exec_waiting(const Guests& guests, const GuestRecord& record,
                          const MonitorPlace& place, std::int64_t delay_ms) {
  const std::string program = TRY(own_program(guests.host()));
  Words words(TRY(helper_path("vrun-monitor")));
  TRY(words.descriptor("lock", place.lock));
  words.number("delay", delay_ms);
  words.step(program, guests, record.id);
  TRY(let_go_of_stdio());
  return words.exec(guests);
}

}  // namespace

namespace {

// One try: a repair may take the directory for a left-over until our name is in it.
Result<MonitorPlace> try_claim(const Guests& guests, const GuestRecord& record) {
  const std::string path = guests.monitor_dir(record);
  TRY(fs::make_dirs(At::cwd(), path, 0700));
  MonitorPlace place;
  place.dir = TRY(sys::open_dir(At::cwd(), path));
  place.lock = TRY(sys::open(place.dir, kLockName, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (::flock(place.lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (!sys::stat(place.dir, kNameFile)) {  // held by who takes the left-over away
      TRY(sys::poll({}, 1));
      return Error::system(ENOENT, "claim " + quote(path));
    }
    return Error(Code::kState, "guest " + quote(record.name) + " has a monitor already");
  }
  if (::ftruncate(place.lock.get(), 0) != 0) return Error::system(errno, "note the monitor");
  TRY(sys::write_all(place.lock.get(), std::to_string(::getpid())));
  TRY(fs::replace_file(place.dir, kNameFile, record.name));
  const struct stat ours = TRY(sys::stat(place.lock.get()));
  const struct stat there = TRY(sys::stat(At::cwd(), path + "/" + kLockName));
  if (ours.st_ino == there.st_ino) return place;
  return Error::system(ENOENT, "claim " + quote(path));
}

}  // namespace

Result<MonitorPlace> claim_monitor(const Guests& guests, const GuestRecord& record) {
  constexpr int kMostTries = 50;
  Result<MonitorPlace> place = try_claim(guests, record);
  for (int i = 1; i < kMostTries && !place && place.error().sys_errno() == ENOENT; ++i) {
    place = try_claim(guests, record);
  }
  return place;
}

Result<MonitorPlace> keep_monitor(const Guests& guests, const GuestRecord& record, Fd lock) {
  const std::string path = guests.monitor_dir(record);
  MonitorPlace place;
  place.dir = TRY(sys::open_dir(At::cwd(), path));
  place.lock = std::move(lock);
  return place;
}

Result<std::string> name_of_monitored(const Guests& guests, const std::string& id) {
  TRY(ContainerId::parse(id));
  return fs::read_file(At::cwd(),
                       guests.places().monitors(guests.tenant()) + "/" + id + "/" + kNameFile, 256);
}

Result<void> rename_monitored(const Guests& guests, const GuestRecord& record) {
  Result<Fd> dir = sys::open_dir(At::cwd(), guests.monitor_dir(record));
  if (!dir && dir.error().code() == Code::kNotFound) return {};
  if (!dir) return std::move(dir).error();
  return fs::replace_file(*dir, kNameFile, record.name);
}

Result<Fd> open_monitor(const Guests& guests, const GuestRecord& record) {
  const auto none = [] { return Error(Code::kNotFound, "no monitor"); };
  const Result<Fd> lock =
      sys::open(At::cwd(), guests.monitor_dir(record) + "/" + kLockName, O_RDONLY | O_NOFOLLOW);
  if (!lock) return none();
  // Whoever lives holds it; the number in it is the holder's.
  if (::flock(lock->get(), LOCK_SH | LOCK_NB) == 0) return none();
  std::array<char, 32> text{};
  const std::size_t n = TRY(sys::read(lock->get(), text));
  const auto pid = parse_u64(std::string_view(text.data(), n));
  if (!pid) return none();
  Result<Fd> pidfd = sys::pidfd_open(Pid(static_cast<pid_t>(*pid)));
  if (!pidfd) return none();
  // Still the holder, so the number was not reused before we opened it.
  if (::flock(lock->get(), LOCK_SH | LOCK_NB) == 0) return none();
  return pidfd;
}

Result<bool> wait_for_monitor(const Guests& guests, const GuestRecord& record, int timeout_ms) {
  const Result<Fd> monitor = open_monitor(guests, record);
  if (!monitor) return true;
  std::array<pollfd, 1> ended{pollfd{monitor->get(), POLLIN, 0}};
  return TRY(sys::poll(ended, timeout_ms)) > 0;
}

Result<void> remove_monitor_dir(const Guests& guests, const GuestRecord& record) {
  const std::string path = guests.monitor_dir(record);
  Result<Fd> parent = sys::open_dir(At::cwd(), std::string(fs::dir_name(path)));
  if (!parent && parent.error().code() == Code::kNotFound) return {};
  if (!parent) return std::move(parent).error();
  return fs::remove_tree(*parent, record.id);
}

Result<GuestPipes> make_pipes(const Fd& monitor_dir, Input input, Uid uid, Gid gid) {
  GuestPipes pipes;
  for (const char* name : {"stdout", "stderr"})
    TRY(make_pipe(monitor_dir, name, uid, gid));
  pipes.guest_out = TRY(open_pipe(monitor_dir, "stdout", O_RDWR));
  pipes.guest_err = TRY(open_pipe(monitor_dir, "stderr", O_RDWR));
  pipes.out = TRY(open_pipe(monitor_dir, "stdout", O_RDONLY | O_NONBLOCK));
  pipes.err = TRY(open_pipe(monitor_dir, "stderr", O_RDONLY | O_NONBLOCK));
  if (input == Input::kNone) {
    pipes.guest_in = TRY(sys::open(At::cwd(), "/dev/null", O_RDONLY));
    return pipes;
  }
  TRY(make_pipe(monitor_dir, "stdin", uid, gid));
  const int how = input == Input::kForEver ? O_RDWR : O_RDONLY | O_NONBLOCK;
  pipes.guest_in = TRY(open_pipe(monitor_dir, "stdin", how));
  pipes.in = TRY(open_pipe(monitor_dir, "stdin", O_WRONLY | O_NONBLOCK));
  TRY(make_blocking(pipes.guest_in));
  return pipes;
}

Result<GuestPipes> reopen_pipes(const Fd& monitor_dir) {
  GuestPipes pipes;
  pipes.out = TRY(open_pipe(monitor_dir, "stdout", O_RDONLY | O_NONBLOCK));
  pipes.err = TRY(open_pipe(monitor_dir, "stderr", O_RDONLY | O_NONBLOCK));
  // Absent, or nobody reads it any more.
  Result<Fd> in = open_pipe(monitor_dir, "stdin", O_WRONLY | O_NONBLOCK);
  if (in) pipes.in = *std::move(in);
  return pipes;
}

Error become_monitor(const Guests& guests, const GuestRecord& record, MonitorCall call) {
  Result<void> failed = exec_monitor(guests, record, call);
  return std::move(failed).error();
}

Error become_waiting_monitor(const Guests& guests, const GuestRecord& record, MonitorPlace place,
                             std::int64_t delay_ms) {
  Result<void> failed = exec_waiting(guests, record, place, delay_ms);
  return std::move(failed).error();
}

Error become_timer(const Guests& guests, Fd lock, std::int64_t alarm_ms) {
  const auto exec = [&]() -> Result<void> {
    const std::string program = TRY(own_program(guests.host()));
    Words words(TRY(helper_path("vrun-monitor")));
    TRY(words.descriptor("lock", lock));
    words.number("alarm", alarm_ms);
    words.step(program, guests, "cron");
    TRY(let_go_of_stdio());
    return words.exec(guests);
  };
  Result<void> failed = exec();
  return std::move(failed).error();
}

}  // namespace vrun::engine
