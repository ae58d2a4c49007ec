#include "engine/export_runners.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/text.hpp"
#include "engine/apply_wanted.hpp"

namespace vrun::engine {
namespace {

constexpr std::string_view kJoins = "container:", kDepends = "dependsOn.";

// One object of the manifest.
struct Unit {
  std::string kind, name;
  std::vector<const GuestRecord*> records;  // in the order of replicas, or of the Group
  std::size_t inits = 0;                    // of a Group: so many of the first
  std::string note;
};

// "web-3" of "web": 3.
std::optional<std::uint64_t> replica_of(const std::string& guest, const std::string& object) {
  if (!guest.starts_with(object + "-")) return std::nullopt;
  const std::string rest = guest.substr(object.size() + 1);
  return rest.starts_with('0') ? std::nullopt : parse_u64(rest);
}

std::string fields_of(const RunRequest& request) {
  return program_lines(request).take() + network_lines(request).take() + life_lines(request).take();
}

// "on-failure:3" is three retries; none for what is no policy of a Job.
std::optional<std::string> retries_of(const RunRequest& request) {
  RunRequest life = request;
  life.restart.clear();
  if (!life_lines(life).take().empty()) return std::nullopt;
  if (request.restart.empty() || request.restart == "no") return "";
  constexpr std::string_view kFailures = "on-failure:";
  if (!request.restart.starts_with(kFailures)) return std::nullopt;
  return request.restart.substr(kFailures.size());
}

// What a member of a Group cannot say of its own network.
bool has_more_network(const RunRequest& request, bool leads) {
  RunRequest rest = request;
  rest.network = "default";
  if (leads) {
    rest.publish.clear();
    rest.bandwidth_in = rest.bandwidth_out = rest.network_pps = "";
  }
  return !network_lines(rest).take().empty();
}

class Exporter {
 public:
  Exporter(const std::vector<GuestRecord>& records, const std::vector<CronJob>& jobs,
           ExportedManifest& made)
      : records_(records), jobs_(jobs), made_(made) {}

  void write() {
    sort_out();
    std::stable_sort(units_.begin(), units_.end(),
                     [](const Unit& a, const Unit& b) { return a.name < b.name; });
    for (const Unit& unit : units_)
      add_names(unit);
    for (const Unit& unit : units_)
      write(unit);
    for (const CronJob& job : jobs_)
      write(job);
  }

 private:
  using Records = std::vector<const GuestRecord*>;

  void sort_out() {
    std::map<std::string, Records> by_object;
    for (const GuestRecord& record : records_)
      by_object[record.label(kObjectLabel)].push_back(&record);
    for (auto& [object, records] : by_object) {
      const std::size_t slash = std::min(object.find('/'), object.size());
      const std::string kind = object.substr(0, slash);
      const std::string name = object.substr(std::min(slash + 1, object.size()));
      if (kind == "Group") {
        add_group(name, records);
      } else if (kind == "CronJob") {
        add_runs(name, records);
      } else if (kind == "Job") {
        add_jobs(name, records);
      } else {
        add_guests(name, records);
      }
    }
  }

  void add_alone(const Records& records, const std::string& note) {
    for (const GuestRecord* record : records)
      units_.push_back({"Guest", record->name, {record}, 0, note});
  }

  // Guests that no manifest made, one that a manifest made, or replicas.
  void add_guests(const std::string& object, Records records) {
    const bool one = records.size() == 1 && records[0]->name == object;
    if (object.empty() || one) return add_alone(records, "");
    std::sort(records.begin(), records.end(), [&](const auto* a, const auto* b) {
      return replica_of(a->name, object) < replica_of(b->name, object);
    });
    const std::string fields = fields_of(records[0]->request);
    for (std::size_t i = 0; i < records.size(); ++i) {
      if (replica_of(records[i]->name, object) != i + 1)
        return add_alone(records, "was a replica of Guest " + object +
                                      ", of which others are not here; is a Guest of its own");
      if (fields_of(records[i]->request) != fields)
        return add_alone(records, "was a replica of Guest " + object +
                                      ", which are no longer alike; is a Guest of its own");
    }
    units_.push_back({"Guest", object, records, 0, ""});
  }

  void add_jobs(const std::string& object, const Records& records) {
    for (const GuestRecord* record : records) {
      if (record->name == object && retries_of(record->request)) {
        units_.push_back({"Job", object, {record}, 0, ""});
      } else {
        add_alone({record}, "was Job " + object + ", and has been changed; is a Guest");
      }
    }
  }

  void add_runs(const std::string& object, const Records& records) {
    const bool is_here = std::any_of(jobs_.begin(), jobs_.end(),
                                     [&](const CronJob& job) { return job.name == object; });
    if (is_here) {
      runs_[object] = records.size();
      return;
    }
    for (const GuestRecord* record : records) {
      const std::string note = "was a run of CronJob " + object;
      if (retries_of(record->request)) {
        units_.push_back({"Job", record->name, {record}, 0, note + "; is a Job"});
      } else {
        add_alone({record}, note + "; is a Guest");
      }
    }
  }

  void add_group(const std::string& object, const Records& records) {
    std::map<std::pair<bool, std::uint64_t>, const GuestRecord*> by_place;
    Unit unit{"Group", object, {}, 0, ""};
    for (const GuestRecord* record : records) {
      const std::string place = record->label(kMemberLabel);
      const bool init = place.starts_with("init[");
      const std::size_t at = place.find('[') + 1;
      const auto number = parse_u64(place.substr(at, place.size() - at - 1));
      if (place.empty() || !number || !record->name.starts_with(object + "-")) continue;
      by_place[{!init, *number}] = record;
      unit.inits += init ? 1 : 0;
    }
    for (const auto& [place, record] : by_place)
      unit.records.push_back(record);
    if (unit.records.size() == records.size() && is_group(unit))
      return units_.push_back(std::move(unit));
    add_alone(records, "was a guest of Group " + object + "; is a Guest of its own");
  }

  // All of them hang on the first of those that stay.
  static bool is_group(const Unit& unit) {
    if (unit.inits == unit.records.size()) return false;
    const GuestRecord& leader = *unit.records[unit.inits];
    if (leader.label(kMemberLabel) != "guests[0]") return false;
    for (const GuestRecord* record : unit.records) {
      const bool leads = record == &leader;
      const bool init = record->label(kMemberLabel).starts_with("init");
      const std::string joined = std::string(kJoins) + leader.name;
      const std::string& network = leads || init ? leader.request.network : joined;
      if (record->request.network != network || has_more_network(record->request, leads))
        return false;
    }
    return true;
  }

  // What dependsOn may name.
  void add_names(const Unit& unit) {
    for (const GuestRecord* record : unit.records)
      guests_.insert(record->name);
    if (unit.kind != "Group") return static_cast<void>(names_.insert(unit.name));
    for (const GuestRecord* record : unit.records)
      names_.insert(record->name);
  }

  void write(const Unit& unit) {
    if (!unit.note.empty()) made_.note(unit.name + ": " + unit.note);
    if (unit.kind == "Group") return write_group(unit);
    const GuestRecord& record = *unit.records.front();
    const bool is_job = unit.kind == "Job";
    RunRequest request = record.request;
    const Lines depends = dependencies_of(record, "", request);
    Lines lines = document(unit.kind.c_str(), unit.name);
    lines.block(program_lines(request).take() + network_lines(request).take());
    if (is_job) lines.number("retries", retries_of(request).value_or(""));
    if (!is_job) lines.block(life_lines(request).take());
    const bool replicas = record.name != unit.name;
    if (replicas) lines.number("replicas", std::to_string(unit.records.size()));
    lines.group("dependsOn", depends);
    if (!is_job) lines.group("update", update_of(record));
    note_joins(record);
    if (request.remove) made_.note(record.name + ": --rm");
    made_.text += lines.take();
  }

  void write_group(const Unit& unit) {
    const GuestRecord& leader = *unit.records[unit.inits];
    Lines lines = document("Group", unit.name);
    lines.block(network_lines(leader.request).take());
    std::string inits, guests;
    for (std::size_t i = 0; i < unit.records.size(); ++i)
      (i < unit.inits ? inits : guests) += member_of(unit, *unit.records[i], leader);
    if (!inits.empty()) lines.block("init:\n" + inits);
    lines.block("guests:\n" + guests);
    for (const GuestRecord* record : unit.records)
      note_joins(*record);
    made_.text += lines.take();
  }

  std::string member_of(const Unit& unit, const GuestRecord& record, const GuestRecord& leader) {
    RunRequest request = record.request;
    const std::string prefix = unit.name + "-";
    const bool follows = &record != &leader && request.ipc == std::string(kJoins) + leader.name;
    if (follows) request.ipc.clear();
    for (const GuestRecord* other : unit.records)
      std::erase(request.start_after, other->name);
    const Lines depends = dependencies_of(record, prefix, request);
    Lines lines;
    lines.block(program_lines(request).take() + life_lines(request).take());
    lines.group("dependsOn", depends);
    return "  - name: " + quoted(record.name.substr(prefix.size())) + "\n" +
           indented(lines.take(), "    ");
  }

  void write(const CronJob& job) {
    Lines lines = document("CronJob", job.name);
    lines.text("schedule", job.schedule);
    lines.text("timeZone", job.time_zone);
    lines.text("concurrency", job.concurrency);
    if (job.starting_deadline_ms >= 0)
      lines.text("startingDeadline", std::to_string(job.starting_deadline_ms) + "ms");
    lines.number("keepSucceeded", std::to_string(job.keep_succeeded));
    lines.number("keepFailed", std::to_string(job.keep_failed));
    lines.on("suspend", job.suspend);
    Lines run;
    run.block(program_lines(job.request).take() + network_lines(job.request).take());
    run.number("retries", retries_of(job.request).value_or(""));
    lines.block("job:\n" + indented(run.take(), "  "));
    const std::size_t runs = runs_[job.name];
    if (runs != 0)
      made_.note("CronJob " + job.name + ": runs that are there (" + std::to_string(runs) +
                 "): it makes others");
    made_.text += lines.take();
  }

  // The record does not know what its guest waits for; the label of apply does. What dependsOn says
  // needs no place in startAfter, where apply has put it.
  Lines dependencies_of(const GuestRecord& record, const std::string& prefix, RunRequest& request) {
    Lines lines("  ");
    for (const auto& [path, how] : flat(record.label(kAppliedLabel))) {
      if (!path.starts_with(kDepends)) continue;
      const std::string name = path.substr(kDepends.size());
      const bool sibling = !prefix.empty() && names_.contains(prefix + name);
      if (!sibling && !names_.contains(name)) {
        made_.note(record.name + ": dependsOn " + name + ", which is not here under that name");
        continue;
      }
      lines.raw(quoted(name), quoted(how));
      std::erase_if(request.start_after, [&](const std::string& guest) {
        return guest == name || replica_of(guest, name).has_value();
      });
    }
    return lines;
  }

  static Lines update_of(const GuestRecord& record) {
    Lines lines("  ");
    for (const auto& [path, value] : flat(record.label(kAppliedLabel))) {
      if (path == "update.timeout") lines.text("timeout", value);
      if (path == "update.maxUnavailable") lines.number("maxUnavailable", value);
      if (path == "update.rollback" && value == "false") lines.raw("rollback", value);
    }
    return lines;
  }

  void note_joins(const GuestRecord& record) {
    const RunRequest& request = record.request;
    for (const std::string* text : {&request.network, &request.pid, &request.ipc}) {
      if (!text->starts_with(kJoins)) continue;
      const std::string guest = text->substr(kJoins.size());
      if (!guests_.contains(guest))
        made_.note(record.name + ": joins guest " + guest + ", which has to be there before");
    }
  }

  const std::vector<GuestRecord>& records_;
  const std::vector<CronJob>& jobs_;
  ExportedManifest& made_;
  std::vector<Unit> units_;
  std::set<std::string> names_, guests_;
  std::map<std::string, std::size_t> runs_;
};

}  // namespace

void export_runners(const std::vector<GuestRecord>& records, const std::vector<CronJob>& jobs,
                    ExportedManifest& made) {
  Exporter(records, jobs, made).write();
}

}  // namespace vrun::engine
