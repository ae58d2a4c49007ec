#include "cli/verb_cron.hpp"

#include <array>
#include <ctime>

#include "base/json_writer.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_images.hpp"
#include "engine/cron.hpp"

namespace vrun::cli {
namespace {

std::string time_text(std::int64_t seconds) {
  if (seconds <= 0) return "";
  const time_t time = seconds;
  tm utc{};
  ::gmtime_r(&time, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text.data();
}

struct Line {
  engine::CronJob job;
  engine::CronState state;
  std::string last;  // with how the run stands
};

std::string how_it_stands(const engine::Guests& guests, const std::string& last) {
  const Result<engine::Guest> run = guests.find(last);
  if (!run) return last;
  const engine::LastExit& end = run->record.last;
  const bool over = run->status == engine::GuestStatus::kExited && !end.reason.empty();
  return last + ": " + (over ? end.reason : engine::to_text(run->status));
}

std::string to_json(const std::vector<Line>& lines) {
  json::Writer w(json::Style::kSpaces);
  w.begin_array();
  for (const Line& line : lines) {
    w.begin_object().member("name", line.job.name).member("manifest", line.job.manifest);
    w.member("schedule", line.job.schedule);
    w.member("timeZone", line.job.time_zone.empty() ? "UTC" : line.job.time_zone);
    w.member("concurrency", line.job.concurrency.empty() ? "allow" : line.job.concurrency);
    w.member("suspend", line.job.suspend).member("lastTime", time_text(line.state.due));
    w.member("nextTime", time_text(line.state.next.value_or(0))).member("last", line.last);
    w.end_object();
  }
  return w.end_array().take();
}

std::string to_table(const std::vector<Line>& lines) {
  std::vector<std::vector<std::string>> cells{
      {"NAME", "SCHEDULE", "ZONE", "LAST TIME", "NEXT TIME", "LAST RUN"}};
  for (const Line& line : lines) {
    const std::string next =
        line.job.suspend ? "suspended" : time_text(line.state.next.value_or(0));
    const std::string zone = line.job.time_zone.empty() ? "UTC" : line.job.time_zone;
    cells.push_back({line.job.name, line.job.schedule, zone, time_text(line.state.due), next,
                     printable(line.last)});
  }
  return table(cells);
}

}  // namespace

Result<int> everyday_cron_list(const EverydayCall& call) {
  const Form form = TRY(form_of(call.arguments));
  const engine::Guests guests = TRY(guests_of(call));
  std::vector<Line> lines;
  for (engine::CronJob& job : TRY(engine::list_cron_jobs(guests))) {
    engine::CronState state = TRY(engine::cron_state(guests, job));
    std::string last = how_it_stands(guests, state.last);
    lines.push_back({std::move(job), std::move(state), std::move(last)});
  }
  if (form == Form::kTable) return print_out(to_table(lines));
  return print_out(TRY(document(form, to_json(lines))));
}

}  // namespace vrun::cli
