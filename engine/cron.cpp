#include "engine/cron.hpp"

#include <algorithm>
#include <array>
#include <ctime>

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/apply_wanted.hpp"
#include "engine/cron_files.hpp"
#include "engine/guest_life.hpp"
#include "engine/guest_start.hpp"
#include "engine/monitor/protocol.hpp"
#include "engine/monitor_call.hpp"
#include "engine/tenant_entry.hpp"
#include "manifest/schedule.hpp"

namespace vrun::engine {
namespace {

// ---- one run ----

bool is_active(const Guest& guest) {
  return guest.runs() || guest.status == GuestStatus::kRestarting ||
         guest.status == GuestStatus::kEnding;
}

Result<std::vector<Guest>> runs_of(const Guests& guests, const CronJob& job) {
  std::vector<Guest> all = TRY(guests.list());
  std::erase_if(all, [&](const Guest& guest) {
    return guest.record.label(kObjectLabel) != "CronJob/" + job.name;
  });
  return all;
}

// Answers what is noted of it.
Result<std::string> begin_run(const Guests& guests, const std::string& name, std::int64_t due) {
  const Fd lock = TRY(lock_cron(guests));
  const CronJob job = TRY(read_cron_job(guests, name));
  for (const Guest& other : TRY(runs_of(guests, job))) {
    if (!is_active(other)) continue;
    if (job.concurrency == "forbid") return "left out: " + other.record.name + " has not ended";
    if (job.concurrency == "replace") TRY(remove_guest(guests, other.record, Force::kYes));
  }
  RunRequest request = job.request;
  request.name = cron_run_name(job, due);
  CreatedGuest created = TRY(create_guest(guests, std::move(request)));
  const GuestRecord record = TRY(keep_guest(std::move(created)));
  const LaunchedGuest launched = TRY(launch_guest(guests, record, {}));
  static_cast<void>(launched);
  return record.name;
}

// In a process of its own, nobody's child but init's: an image may have to be pulled.
void begin_apart(const Guests& guests, const CronJob& job, std::int64_t due) {
  const pid_t child = ::fork();
  if (child > 0) ::waitpid(child, nullptr, 0);
  if (child != 0) return;
  ::setsid();
  if (::fork() != 0) ::_exit(0);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::close(monitor::kLockFd);  // says that the timer lives
  const Result<std::string> run = begin_run(guests, job.name, due);
  const std::string text = run ? *run : "cannot start: " + run.error().text();
  // Under the lock: who removes the job must not meet a file that comes meanwhile.
  const Result<Fd> lock = lock_cron(guests);
  if (lock) static_cast<void>(write_cron_note(guests, job.name, "last", text));
  ::_exit(0);
}

// ---- the timer ----

// More than --keep of each kind go, the oldest first.
Result<void> tidy(const Guests& guests, const CronJob& job) {
  std::uint64_t succeeded = 0, failed = 0;
  for (const Guest& run : TRY(runs_of(guests, job))) {  // the newest first
    if (run.status != GuestStatus::kExited || run.record.last.finished.empty()) continue;
    const bool good = run.record.last.code == 0;
    const std::uint64_t count = good ? ++succeeded : ++failed;
    if (count <= (good ? job.keep_succeeded : job.keep_failed)) continue;
    const Result<void> removed = remove_guest(guests, run.record, Force::kNo);
    static_cast<void>(removed);  // the next tick tries again
  }
  return {};
}

Result<std::int64_t> serve(const Guests& guests, const CronJob& job) {
  const manifest::Schedule schedule = TRY(manifest::parse_schedule(job.schedule));
  const manifest::TimeZone zone = TRY(manifest::TimeZone::find(job.time_zone));
  const std::int64_t now = now_seconds();
  const auto due = manifest::latest_time(schedule, zone, cron_due(guests, job.name), now);
  if (due) {
    // Before the run: a tick that is killed here begins nothing twice.
    TRY(write_cron_note(guests, job.name, "due", std::to_string(*due)));
    const bool late =
        job.starting_deadline_ms >= 0 && (now - *due) * 1000 > job.starting_deadline_ms;
    if (late) {
      TRY(write_cron_note(guests, job.name, "last", "left out: its startingDeadline was over"));
    } else {
      begin_apart(guests, job, *due);
    }
  }
  TRY(tidy(guests, job));
  return manifest::next_time(schedule, zone, now).value_or(0);
}

std::string lock_path(const Guests& guests) {
  return guests.places().run + "/cron/" + guests.tenant();
}

// In the process that is to be the timer; returns only when it failed.
Error begin_timer(const Guests& guests) {
  const auto begin = [&]() -> Result<Fd> {
    sigset_t hup;
    ::sigemptyset(&hup);
    ::sigaddset(&hup, SIGHUP);
    ::sigprocmask(SIG_BLOCK, &hup, nullptr);
    ::setsid();
    TRY(join_tenant(guests));
    Fd lock = TRY(sys::open(At::cwd(), lock_path(guests), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return Error(Code::kState, "it lives already");
    if (::ftruncate(lock.get(), 0) != 0) return Error::system(errno, "note the timer");
    TRY(sys::write_all(lock.get(), std::to_string(::getpid())));
    return lock;
  };
  Result<Fd> lock = begin();
  if (!lock) return std::move(lock).error();
  constexpr std::int64_t kAtOnce = 1;
  return become_timer(guests, *std::move(lock), kAtOnce);
}

// The pidfd of the timer that lives.
Result<Fd> find_timer(const Guests& guests) {
  const Fd lock = TRY(sys::open(At::cwd(), lock_path(guests), O_RDONLY | O_NOFOLLOW));
  if (::flock(lock.get(), LOCK_SH | LOCK_NB) == 0) return Error(Code::kNotFound, "no timer");
  constexpr std::size_t kMost = 32;
  const std::string text = TRY(fs::read_file(At::cwd(), lock_path(guests), kMost));
  const auto pid = parse_u64(trim(text));
  if (!pid) return Error(Code::kNotFound, "no timer yet");
  Fd process = TRY(sys::pidfd_open(Pid(static_cast<pid_t>(*pid))));
  if (::flock(lock.get(), LOCK_SH | LOCK_NB) == 0) return Error(Code::kNotFound, "no timer");
  return process;
}

bool has_jobs(const Guests& guests) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), cron_dir(guests));
  if (!dir) return false;
  const Result<std::vector<std::string>> names = sys::list_dir(dir->get());
  return names && !names->empty();
}

}  // namespace

std::string cron_run_name(const CronJob& job, std::int64_t due) {
  const time_t time = due;
  tm utc{};
  ::gmtime_r(&time, &utc);
  std::array<char, 32> text{};
  const bool seconds = job.schedule.starts_with("@every");
  std::strftime(text.data(), text.size(), seconds ? "%Y%m%d%H%M%S" : "%Y%m%d%H%M", &utc);
  return job.name + "-" + text.data();
}

Result<int> cron_tick(const Guests& guests) {
  Fd lock(monitor::kLockFd);
  TRY(sys::set_inheritable(lock.get(), false));
  std::int64_t alarm = 0;
  const std::vector<CronJob> jobs = TRY(list_cron_jobs(guests));
  if (jobs.empty()) return 0;
  for (const CronJob& job : jobs) {
    if (job.suspend) continue;
    constexpr std::int64_t kSoon = 60;  // what is odd now may be right then
    const Result<std::int64_t> next = serve(guests, job);
    const std::int64_t when = next ? *next : now_seconds() + kSoon;
    if (when > 0 && (alarm == 0 || when < alarm)) alarm = when;
  }
  return become_timer(guests, std::move(lock), alarm * 1000);
}

Result<void> ensure_timer(const Guests& guests) {
  if (!has_jobs(guests)) return {};
  TRY(fs::make_dirs(At::cwd(), guests.places().run + "/cron", 0700));
  const Result<Fd> lock =
      sys::open(At::cwd(), lock_path(guests), O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (lock && ::flock(lock->get(), LOCK_SH | LOCK_NB) != 0) return {};
  if (lock) ::flock(lock->get(), LOCK_UN);
  const pid_t child = ::fork();
  if (child < 0) return Error::system(errno, "start the timer of CronJobs");
  if (child > 0) {
    ::waitpid(child, nullptr, 0);
    return {};
  }
  if (::fork() != 0) ::_exit(0);
  const Error error = begin_timer(guests);  // somebody else was faster, or the next repair says why
  ::_exit(error.code() == Code::kState ? 0 : 125);
}

Result<void> wake_timer(const Guests& guests) {
  const Result<Fd> timer = find_timer(guests);
  if (!timer) return ensure_timer(guests);
  return sys::pidfd_signal(timer->get(), SIGHUP);
}

}  // namespace vrun::engine
