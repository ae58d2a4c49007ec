#include "engine/apply_plan.hpp"

#include <algorithm>
#include <set>

#include "base/json.hpp"
#include "base/json_writer.hpp"
#include "base/text.hpp"
#include "engine/caller_files.hpp"
#include "engine/contents.hpp"
#include "engine/rights.hpp"
#include "engine/volume_store.hpp"
#include "manifest/table.hpp"
#include "network/networks.hpp"

namespace vrun::engine {
namespace {

constexpr std::string_view kContentWords = "contents changed";

Result<network::Networks> networks_of(const Guests& guests) {
  return network::Networks::open({guests.places().data, guests.places().run}, guests.tenant(),
                                 guests.host());
}

// "limits.memory" of Guest, with list places left out. The fields of a Group's guests are a
// Guest's.
bool is_live(const std::string& kind, std::string_view path) {
  const manifest::KindRow* row = manifest::find_kind(kind == "Group" ? "Guest" : kind);
  std::span<const manifest::Field> fields =
      row == nullptr ? std::span<const manifest::Field>() : row->fields;
  for (const std::string_view word : split(path, '.')) {
    const manifest::Field* field = manifest::find_field(fields, word.substr(0, word.find('[')));
    if (field == nullptr) return false;
    if (field->live) return true;
    fields = field->fields;
  }
  return false;
}

// A limit that the kernel has no word for "none" of, once it is set.
bool can_be_lifted(std::string_view path) {
  static constexpr std::string_view kLiftable[] = {"limits.memory", "limits.cpus", "limits.pids",
                                                   "limits.cpuWeight"};
  return !path.starts_with("limits.") ||
         std::find(std::begin(kLiftable), std::end(kLiftable), path) != std::end(kLiftable);
}

struct Difference {
  std::vector<std::string> reasons;
  bool replaces = false;
};

Difference differences(const WantedGuest& guest, const std::string& old_spec) {
  const auto before = flat(old_spec);
  const auto after = flat(guest.spec);
  Difference found;
  const auto note = [&](const std::string& path, const std::string& words, bool removed) {
    found.reasons.push_back(path + ": " + words);
    if (path == "replicas") return;
    if (!is_live(guest.kind, path) || (removed && !can_be_lifted(path))) found.replaces = true;
  };
  for (const auto& [path, value] : after) {
    const auto old = before.find(path);
    if (old == before.end()) {
      note(path, "set to " + quote(value), false);
    } else if (old->second != value) {
      note(path, quote(old->second) + " -> " + quote(value), false);
    }
  }
  for (const auto& [path, value] : before) {
    if (!after.contains(path)) note(path, "no longer " + quote(value), true);
  }
  return found;
}

class Planner {
 public:
  Planner(const Guests& guests, const Wanted& wanted, bool with_volumes)
      : guests_(guests), wanted_(wanted), with_volumes_(with_volumes) {}

  Result<Plan> run(bool prune) {
    TRY(plan_networks());
    TRY(plan_volumes());
    TRY(plan_contents(wanted_.secrets, ContentKind::kSecret));
    TRY(plan_contents(wanted_.configs, ContentKind::kConfig));
    TRY(plan_cron_jobs());
    there_ = TRY(guests_.list());
    for (std::size_t i = 0; i < wanted_.guests.size(); ++i)
      TRY(plan_guest(i));
    follow_leads();
    drop_surplus(prune);
    if (prune) TRY(prune_others());
    if (faults_.empty() && busy_.empty()) return std::move(plan_);
    if (faults_.empty()) {
      return Error(Code::kState, join(busy_, "\n"))
          .hint(
              "give the changed Network another name and its guests' `network` too: they move by "
              "being replaced; or stop the guests, and apply again");
    }
    faults_.insert(faults_.end(), busy_.begin(), busy_.end());
    return Error(Code::kExists, join(faults_, "\n"));
  }

 private:
  void add(Act act, const std::string& kind, const std::string& name, std::size_t index,
           std::vector<std::string> reasons = {}) {
    plan_.steps.push_back({act, kind, name, std::move(reasons), index});
  }

  void foreign(const std::string& kind, const std::string& name, const std::string& owner) {
    faults_.push_back(
        kind + " " + name + " is there already and " +
        (owner.empty() ? "was not made by a manifest" : "belongs to manifest " + quote(owner)));
  }

  Result<void> plan_networks() {
    if (wanted_.networks.empty()) return {};
    network::Networks networks = TRY(networks_of(guests_));
    const std::vector<network::Network> there = TRY(networks.list());
    for (std::size_t i = 0; i < wanted_.networks.size(); ++i) {
      const WantedObject& object = wanted_.networks[i];
      const auto old = std::find_if(there.begin(), there.end(),
                                    [&](const auto& n) { return n.name == object.name; });
      if (old == there.end()) {
        add(Act::kCreate, "Network", object.name, i);
        continue;
      }
      const auto label = [&](const char* key) {
        const auto found = old->labels.find(key);
        return found == old->labels.end() ? std::string() : found->second;
      };
      if (label(kManifestLabel) != wanted_.manifest) {
        foreign("Network", object.name, label(kManifestLabel));
      } else if (label(kAppliedLabel) == object.spec) {
        add(Act::kNone, "Network", object.name, i);
      } else {
        TRY(change_network(networks, i, label(kAppliedLabel)));
      }
    }
    return {};
  }

  Result<void> change_network(network::Networks& networks, std::size_t i, const std::string& old) {
    const WantedObject& object = wanted_.networks[i];
    WantedGuest as_guest;
    as_guest.kind = "Network";
    as_guest.spec = object.spec;
    const Difference difference = differences(as_guest, old);
    if (!difference.replaces) {
      add(Act::kChange, "Network", object.name, i, difference.reasons);
      return {};
    }
    std::vector<std::string> members;
    for (const network::GuestNetwork& member : TRY(networks.members(object.name)))
      members.push_back(member.guest);
    if (members.empty()) {
      add(Act::kReplace, "Network", object.name, i, difference.reasons);
      return {};
    }
    busy_.push_back("Network " + object.name + " cannot change (" + join(difference.reasons, ", ") +
                    ") while guests are on it: " + join(members, ", "));
    return {};
  }

  // What lies in a volume is the guests': only its labels are the manifest's.
  Result<void> plan_volumes() {
    if (wanted_.volumes.empty()) return {};
    const std::vector<Volume> there = TRY(list_volumes(guests_));
    for (std::size_t i = 0; i < wanted_.volumes.size(); ++i) {
      const WantedObject& object = wanted_.volumes[i];
      const auto old = std::find_if(there.begin(), there.end(),
                                    [&](const Volume& v) { return v.name == object.name; });
      if (old == there.end()) {
        add(Act::kCreate, "Volume", object.name, i);
        continue;
      }
      const std::string owner = label_of(old->labels, kManifestLabel);
      if (owner != wanted_.manifest) {
        foreign("Volume", object.name, owner);
        continue;
      }
      WantedGuest as_guest;
      as_guest.kind = "Volume";
      as_guest.spec = object.spec;
      std::vector<std::string> reasons =
          differences(as_guest, label_of(old->labels, kAppliedLabel)).reasons;
      const Act act = reasons.empty() ? Act::kNone : Act::kChange;
      add(act, "Volume", object.name, i, std::move(reasons));
    }
    return {};
  }

  static std::string label_of(const std::vector<std::string>& labels, std::string_view name) {
    for (const std::string& label : labels) {
      if (label.starts_with(name) && label.substr(name.size()).starts_with('='))
        return label.substr(name.size() + 1);
    }
    return {};
  }

  Result<void> plan_contents(const std::vector<WantedObject>& objects, ContentKind kind) {
    for (std::size_t i = 0; i < objects.size(); ++i) {
      const WantedObject& object = objects[i];
      const auto files = TRY(content_files(object, guests_.host()));
      const Result<Content> old = read_content(guests_, kind, object.name);
      if (!old && old.error().code() != Code::kNotFound) {
        return Error(old.error().code(), old.error().text());
      }
      if (!old) {
        add(Act::kCreate, object.kind, object.name, i);
      } else if (old->manifest != wanted_.manifest) {
        foreign(object.kind, object.name, old->manifest);
      } else if (old->files == files) {
        add(Act::kNone, object.kind, object.name, i);
      } else {
        changed_.insert((kind == ContentKind::kSecret ? "secret:" : "config:") + object.name);
        add(Act::kChange, object.kind, object.name, i, {std::string(kContentWords)});
      }
    }
    return {};
  }

  Result<void> plan_cron_jobs() {
    for (std::size_t i = 0; i < wanted_.cron_jobs.size(); ++i) {
      const CronJob& job = wanted_.cron_jobs[i];
      const Result<CronJob> old = read_cron_job(guests_, job.name);
      if (!old && old.error().code() != Code::kNotFound) {
        return Error(old.error().code(), old.error().text());
      }
      if (!old) {
        add(Act::kCreate, "CronJob", job.name, i);
      } else if (old->manifest != wanted_.manifest) {
        foreign("CronJob", job.name, old->manifest);
      } else {
        WantedGuest as_guest;
        as_guest.kind = "CronJob";
        as_guest.spec = job.spec;
        std::vector<std::string> reasons = differences(as_guest, old->spec).reasons;
        const Act act = reasons.empty() ? Act::kNone : Act::kChange;
        add(act, "CronJob", job.name, i, std::move(reasons));
      }
    }
    return {};
  }

  // Runs of a CronJob come and go by its schedule.
  bool is_run_of_wanted(const std::string& object) const {
    return std::any_of(wanted_.cron_jobs.begin(), wanted_.cron_jobs.end(),
                       [&](const CronJob& job) { return object == "CronJob/" + job.name; });
  }

  const Guest* find(const std::string& name) const {
    const auto found = std::find_if(there_.begin(), there_.end(),
                                    [&](const Guest& g) { return g.record.name == name; });
    return found == there_.end() ? nullptr : &*found;
  }

  Result<void> plan_guest(std::size_t i) {
    const WantedGuest& wanted = wanted_.guests[i];
    const Guest* old = find(wanted.name);
    if (old == nullptr) {
      add(Act::kCreate, wanted.kind, wanted.name, i);
      return {};
    }
    const std::string owner = old->record.label(kManifestLabel);
    if (owner != wanted_.manifest) {
      foreign("guest", wanted.name, owner);
      return {};
    }
    Difference difference = differences(wanted, old->record.label(kAppliedLabel));
    if (old->record.label(kObjectLabel) != wanted.object) {
      difference.reasons.push_back("was " + old->record.label(kObjectLabel));
      difference.replaces = true;
    }
    note_contents(wanted, old->record, difference);
    const Act ended = act_of_ended(wanted, *old, difference);
    if (difference.replaces) {
      add(Act::kReplace, wanted.kind, wanted.name, i, std::move(difference.reasons));
    } else if (ended != Act::kNone) {
      add(ended, wanted.kind, wanted.name, i, std::move(difference.reasons));
    } else {
      const Act act = difference.reasons.empty() ? Act::kNone : Act::kChange;
      add(act, wanted.kind, wanted.name, i, std::move(difference.reasons));
    }
    return {};
  }

  // Who lives in namespaces of a guest that gets new ones would be left in the old ones.
  void follow_leads() {
    const auto begins_anew = [&](const std::string& name) {
      return std::any_of(plan_.steps.begin(), plan_.steps.end(), [&](const PlanStep& step) {
        return step.name == name &&
               (step.act == Act::kReplace || step.act == Act::kCreate || step.act == Act::kStart);
      });
    };
    for (PlanStep& step : plan_.steps) {
      if (step.act != Act::kNone && step.act != Act::kChange) continue;
      if (find(step.name) == nullptr || step.index >= wanted_.guests.size()) continue;
      const WantedGuest& wanted = wanted_.guests[step.index];
      if (wanted.name != step.name) continue;
      const RunRequest& request = wanted.request;
      for (const auto& [what, text] :
           {std::pair("network", &request.network), std::pair("processes", &request.pid),
            std::pair("IPC", &request.ipc)}) {
        const std::string lead = shared_guest(*text);
        if (lead.empty() || !begins_anew(lead)) continue;
        step.act = Act::kReplace;
        step.reasons.push_back("shares the " + std::string(what) + " of " + lead +
                               ", which begins anew");
        break;
      }
    }
  }

  void note_contents(const WantedGuest& wanted, const GuestRecord& record,
                     Difference& difference) const {
    for (const std::string& use : wanted.request.contents) {
      const std::string name = use.substr(0, use.rfind(':'));
      if (!changed_.contains(name)) continue;
      difference.reasons.push_back(name + ": " + std::string(kContentWords));
      difference.replaces = true;
      return;
    }
    const Result<std::string> now = content_versions(guests_, wanted.request);
    if (!now || *now == record.label(kContentsLabel)) return;
    difference.reasons.push_back("secrets and configs: " + std::string(kContentWords));
    difference.replaces = true;
  }

  // What is there but does not run.
  static Act act_of_ended(const WantedGuest& wanted, const Guest& old, Difference& difference) {
    if (old.runs() || old.status == GuestStatus::kRestarting || old.status == GuestStatus::kEnding)
      return Act::kNone;
    const LastExit& last = old.record.last;
    if (old.status == GuestStatus::kCreated) {
      difference.reasons.emplace_back("was never started");
      return Act::kStart;
    }
    if (wanted.is_job && last.code == 0) return Act::kNone;
    difference.reasons.push_back(last.reason.empty() ? "does not run" : last.reason);
    return Act::kStart;
  }

  bool is_wanted(const std::string& name) const {
    return std::any_of(wanted_.guests.begin(), wanted_.guests.end(),
                       [&](const WantedGuest& g) { return g.name == name; });
  }

  // Replicas and members that their object no longer has go whether pruned or not: the object is
  // there and says so.
  void drop_surplus(bool prune) {
    std::set<std::string> objects;
    for (const WantedGuest& guest : wanted_.guests)
      objects.insert(guest.object);
    for (const Guest& guest : there_) {
      const GuestRecord& record = guest.record;
      if (record.label(kManifestLabel) != wanted_.manifest || is_wanted(record.name)) continue;
      const std::string object = record.label(kObjectLabel);
      if (is_run_of_wanted(object)) continue;
      const bool surplus = objects.contains(object);
      if (!surplus && !prune) continue;
      const std::string kind = object.substr(0, object.find('/'));
      add(Act::kDelete, kind == "CronJob" ? "Job" : kind, record.name, 0,
          {surplus ? "is no longer one of " + object : "is no longer in the manifest"});
    }
  }

  static bool has(const std::vector<WantedObject>& objects, const std::string& name) {
    return std::any_of(objects.begin(), objects.end(),
                       [&](const WantedObject& o) { return o.name == name; });
  }

  Result<void> prune_others() {
    const std::string why = "is no longer in the manifest";
    for (const ContentKind kind : {ContentKind::kSecret, ContentKind::kConfig}) {
      const bool secret = kind == ContentKind::kSecret;
      for (const std::string& name : TRY(content_names(guests_, kind))) {
        const Result<Content> content = read_content(guests_, kind, name);
        const bool ours = content && content->manifest == wanted_.manifest;
        if (ours && !has(secret ? wanted_.secrets : wanted_.configs, name))
          add(Act::kDelete, secret ? "Secret" : "Config", name, 0, {why});
      }
    }
    for (const CronJob& job : TRY(list_cron_jobs(guests_))) {
      if (job.manifest == wanted_.manifest && !is_run_of_wanted("CronJob/" + job.name))
        add(Act::kDelete, "CronJob", job.name, 0, {why});
    }
    if (with_volumes_) {
      for (const Volume& volume : TRY(list_volumes(guests_))) {
        const bool ours = label_of(volume.labels, kManifestLabel) == wanted_.manifest;
        if (ours && !has(wanted_.volumes, volume.name))
          add(Act::kDelete, "Volume", volume.name, 0, {why});
      }
    }
    network::Networks networks = TRY(networks_of(guests_));
    for (const network::Network& network : TRY(networks.list())) {
      const auto label = network.labels.find(kManifestLabel);
      const bool ours = label != network.labels.end() && label->second == wanted_.manifest;
      if (ours && !has(wanted_.networks, network.name))
        add(Act::kDelete, "Network", network.name, 0, {why});
    }
    return {};
  }

  const Guests& guests_;
  const Wanted& wanted_;
  bool with_volumes_;
  Plan plan_;
  std::vector<Guest> there_;
  std::vector<std::string> faults_;
  std::vector<std::string> busy_;  // Networks that cannot change now
  std::set<std::string> changed_;  // "secret:db"
};

const char* word_of(Act act) {
  switch (act) {
    case Act::kNone:
      return "unchanged";
    case Act::kCreate:
      return "create";
    case Act::kChange:
      return "change";
    case Act::kStart:
      return "start";
    case Act::kReplace:
      return "replace";
    case Act::kDelete:
      return "delete";
  }
  return "";
}

}  // namespace

bool Plan::changes() const {
  return std::any_of(steps.begin(), steps.end(),
                     [](const PlanStep& step) { return step.act != Act::kNone; });
}

Result<Plan> make_plan(const Guests& guests, const Wanted& wanted, const PruneRule& rule) {
  return Planner(guests, wanted, rule.volumes).run(rule.prune);
}

Result<Plan> plan_delete(const Guests& guests, const Wanted& wanted, bool with_volumes) {
  Wanted nothing;
  nothing.manifest = wanted.manifest;
  Plan plan = TRY(Planner(guests, nothing, with_volumes).run(true));
  for (PlanStep& step : plan.steps)
    step.reasons.clear();  // it was asked for
  return plan;
}

std::string plan_text(const Plan& plan) {
  std::string out;
  for (const PlanStep& step : plan.steps) {
    out += std::string(word_of(step.act)) + " " + step.kind + " " + printable(step.name) + "\n";
    for (const std::string& reason : step.reasons)
      out += "    " + printable(reason) + "\n";
  }
  return out.empty() ? "nothing to do\n" : out;
}

std::string plan_json(const Plan& plan) {
  json::Writer writer(json::Style::kSpaces);
  writer.begin_array();
  for (const PlanStep& step : plan.steps) {
    writer.begin_object().member("action", word_of(step.act)).member("kind", step.kind);
    writer.member("name", step.name)
        .key("reasons")
        .value(std::span<const std::string>(step.reasons));
    writer.end_object();
  }
  return writer.end_array().take() + "\n";
}

Result<std::map<std::string, std::string>> content_files(const WantedObject& object,
                                                         const Host& host) {
  std::map<std::string, std::string> files;
  const Result<json::Document> document = json::Document::parse(object.spec, object.name);
  if (!document) return Error(Code::kInternal, document.error().text());
  if (const json::Value* data = document->root().find("data")) {
    for (const json::Member& member : data->members())
      files[std::string(member.key.as_text())] = member.value.as_text();
  }
  if (const json::Value* paths = document->root().find("files")) {
    for (const json::Member& member : paths->members()) {
      const std::string path(member.value.as_text());
      Result<std::string> text = read_caller_file(host, path, 4U << 20U);
      if (!text) {
        return std::move(text)
            .error()
            .during(object.kind + " " + object.name)
            .hint("`files` names files, from where vrun is called; texts stand in `data`");
      }
      files[std::string(member.key.as_text())] = *std::move(text);
    }
  }
  return files;
}

}  // namespace vrun::engine
