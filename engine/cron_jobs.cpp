// The files of CronJobs; see cron.hpp.
#include <algorithm>
#include <ctime>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_table.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/cron.hpp"
#include "engine/cron_files.hpp"
#include "manifest/schedule.hpp"

namespace vrun::engine {
namespace {

constexpr std::size_t kMostBytes = 4U << 20U;

Result<std::string> read(const Guests& guests, const std::string& name, const char* file) {
  return fs::read_file(At::cwd(), cron_dir(guests) + "/" + name + "/" + file, kMostBytes);
}

}  // namespace

constexpr auto json_fields(const CronJob*) {
  using json::field;
  using C = CronJob;
  return json::fields(field("name", &C::name), field("manifest", &C::manifest),
                      field("spec", &C::spec), field("schedule", &C::schedule),
                      field("timeZone", &C::time_zone), field("concurrency", &C::concurrency),
                      field("startingDeadlineMs", &C::starting_deadline_ms, {.always = true}),
                      field("keepSucceeded", &C::keep_succeeded, {.always = true}),
                      field("keepFailed", &C::keep_failed, {.always = true}),
                      field("suspend", &C::suspend));
}

std::string cron_dir(const Guests& guests) {
  return guests.places().data + "/cron/" + guests.tenant();
}

Result<Fd> lock_cron(const Guests& guests) {
  TRY(fs::make_dirs(At::cwd(), cron_dir(guests), 0700));
  Fd dir = TRY(sys::open_dir(At::cwd(), cron_dir(guests)));
  TRY(sys::lock(dir.get(), LOCK_EX, "the CronJobs of " + guests.tenant()));
  return dir;
}

Result<void> write_cron_note(const Guests& guests, const std::string& name, const char* file,
                             const std::string& text) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), cron_dir(guests) + "/" + name));
  return fs::replace_file(dir, file, text);
}

Result<void> check_cron(const CronJob& job) {
  TRY(manifest::parse_schedule(job.schedule));
  TRY(manifest::TimeZone::find(job.time_zone));
  return {};
}

Result<CronJob> read_cron_job(const Guests& guests, const std::string& name) {
  const std::string text = TRY(read(guests, name, "job.json"));
  CronJob job = TRY(json::read<CronJob>(text, name));
  const std::string request = TRY(read(guests, name, "request.json"));
  job.request = TRY(parse_request(request, name));
  return job;
}

Result<std::vector<CronJob>> list_cron_jobs(const Guests& guests) {
  std::vector<CronJob> jobs;
  const Result<Fd> dir = sys::open_dir(At::cwd(), cron_dir(guests));
  if (!dir && dir.error().code() == Code::kNotFound) return jobs;
  if (!dir) return Error(dir.error().code(), dir.error().text());
  std::vector<std::string> names = TRY(sys::list_dir(dir->get()));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    Result<CronJob> job = read_cron_job(guests, name);
    // Half-written by an apply that was killed: the next one writes it.
    if (!job && job.error().code() == Code::kNotFound) continue;
    jobs.push_back(TRY(std::move(job)));
  }
  return jobs;
}

Result<void> write_cron_job(const Guests& guests, const CronJob& job) {
  const Fd lock = TRY(lock_cron(guests));
  const Result<CronJob> old = read_cron_job(guests, job.name);
  TRY(fs::make_dirs(At::cwd(), cron_dir(guests) + "/" + job.name, 0700));
  const bool other_times = !old || old->schedule != job.schedule ||
                           old->time_zone != job.time_zone || (old->suspend && !job.suspend);
  if (other_times) TRY(write_cron_note(guests, job.name, "due", std::to_string(now_seconds())));
  TRY(write_cron_note(guests, job.name, "request.json", to_json(job.request)));
  TRY(write_cron_note(guests, job.name, "job.json", json::write(job, json::Style::kTabs) + "\n"));
  return wake_timer(guests);
}

Result<void> remove_cron_job(const Guests& guests, const std::string& name) {
  const Fd lock = TRY(lock_cron(guests));
  TRY(fs::remove_tree(lock, name));
  return wake_timer(guests);
}

std::int64_t cron_due(const Guests& guests, const std::string& name) {
  const Result<std::string> text = read(guests, name, "due");
  const auto number = text ? parse_u64(trim(*text)) : std::nullopt;
  return static_cast<std::int64_t>(number.value_or(static_cast<std::uint64_t>(now_seconds())));
}

Result<CronState> cron_state(const Guests& guests, const CronJob& job) {
  CronState state;
  const manifest::Schedule schedule = TRY(manifest::parse_schedule(job.schedule));
  const manifest::TimeZone zone = TRY(manifest::TimeZone::find(job.time_zone));
  if (!job.suspend) state.next = manifest::next_time(schedule, zone, now_seconds());
  state.last = read(guests, job.name, "last").value_or("");
  if (!state.last.empty()) state.due = cron_due(guests, job.name);
  return state;
}

}  // namespace vrun::engine
