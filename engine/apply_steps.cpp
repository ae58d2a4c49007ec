#include "engine/apply_steps.hpp"

#include <algorithm>
#include <chrono>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/caller_files.hpp"
#include "engine/contents.hpp"
#include "engine/events.hpp"
#include "engine/guest_exec.hpp"
#include "engine/guest_life.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_setup.hpp"
#include "engine/guest_start.hpp"
#include "engine/guest_update.hpp"
#include "engine/volume_store.hpp"
#include "engine/volumes.hpp"
#include "network/networks.hpp"

namespace vrun::engine {
namespace {

using Clock = std::chrono::steady_clock;

class Deadline {
 public:
  explicit Deadline(std::int64_t ms) : end_(Clock::now() + std::chrono::milliseconds(ms)) {}
  bool over() const { return Clock::now() >= end_; }
  static void pause(std::int64_t ms) { ::poll(nullptr, 0, static_cast<int>(ms)); }

 private:
  Clock::time_point end_;
};

Error too_long(const std::string& guest, const std::string& what, std::int64_t timeout_ms,
               const std::string& why = "") {
  return std::move(Error(Code::kTimeout, "guest " + guest + " " + what + " within " +
                                             std::to_string(timeout_ms / 1000) + " s" + why)
                       .hint("vrun logs " + guest));
}

Result<Guest> find_running(const Guests& guests, const std::string& name) {
  Guest guest = TRY(guests.find(name));
  if (guest.runs()) return guest;
  const std::string why = guest.record.last.reason;
  return Error(Code::kState, "guest " + name + " does not run" + (why.empty() ? "" : ": " + why))
      .hint("vrun logs " + name);
}

bool is_between_lives(const Guest& guest) {
  return guest.status == GuestStatus::kRestarting || guest.status == GuestStatus::kEnding;
}

// Its postStart command and probes that are not good yet; one that has failed for good is an error.
Result<bool> is_well(const Guest& guest) {
  for (const ProbeState& probe : guest.probes) {
    if (probe.state == "healthy") continue;
    if (probe.state == "unhealthy" && probe.probe != Probe::kReadiness) {
      const std::string why = probe.reason.empty() ? "" : ": " + probe.reason;
      return Error(Code::kState, "guest " + guest.record.name +
                                     " is unhealthy: " + std::string(name_of(probe.probe)) + why)
          .hint("vrun logs " + guest.record.name);
    }
    return false;
  }
  return true;
}

// ---- waiting for others ----

const WantedGuest* find_wanted(const Wanted& wanted, const std::string& name) {
  const auto found = std::find_if(wanted.guests.begin(), wanted.guests.end(),
                                  [&](const WantedGuest& g) { return g.name == name; });
  return found == wanted.guests.end() ? nullptr : &*found;
}

Result<void> wait_completed(const Guests& guests, const std::string& name,
                            std::int64_t timeout_ms) {
  const Deadline deadline(timeout_ms);
  while (!deadline.over()) {
    const Guest guest = TRY(guests.find(name));
    if (guest.status == GuestStatus::kExited) {
      if (guest.record.last.code == 0) return {};
      return Error(Code::kState, name + " " + guest.record.last.reason).hint("vrun logs " + name);
    }
    Deadline::pause(50);
  }
  return too_long(name, "did not end", timeout_ms);
}

// Its postStart command is part of its start.
bool has_begun(const Guest& guest) {
  return std::none_of(guest.probes.begin(), guest.probes.end(), [](const ProbeState& probe) {
    return probe.probe == Probe::kPostStart && probe.state != "healthy";
  });
}

Result<void> wait_started(const Guests& guests, const std::string& name, std::int64_t timeout_ms) {
  const Deadline deadline(timeout_ms);
  while (!deadline.over()) {
    const Result<Guest> guest = guests.find(name);
    // One that has ended was started.
    if (guest && !guest->runs() && !guest->record.last.started.empty()) return {};
    if (guest && guest->runs() && has_begun(*guest)) return {};
    Deadline::pause(50);
  }
  return too_long(name, "did not start", timeout_ms);
}

Result<void> wait_for(const Guests& guests, const Wanted& wanted, const Dependency& dependency,
                      std::int64_t timeout_ms) {
  const WantedGuest* other = find_wanted(wanted, dependency.guest);
  switch (dependency.condition) {
    case Condition::kStarted:
      return wait_started(guests, dependency.guest, timeout_ms);
    case Condition::kCompleted:
      return wait_completed(guests, dependency.guest, timeout_ms);
    case Condition::kHealthy:
      if (other != nullptr) return wait_until_up(guests, *other, timeout_ms);
  }
  return wait_started(guests, dependency.guest, timeout_ms);
}

// ---- guests ----

Result<RunRequest> with_versions(const Guests& guests, RunRequest request) {
  const std::string versions = TRY(content_versions(guests, request));
  if (!versions.empty()) request.labels.push_back(std::string(kContentsLabel) + "=" + versions);
  return request;
}

Result<void> start(const Guests& guests, const std::string& name) {
  const Guest guest = TRY(guests.find(name));
  if (guest.runs() || is_between_lives(guest)) return {};
  TRY(reset_restarts(guests, guest.record));
  const LaunchedGuest launched = TRY(launch_guest(guests, guest.record, {}));
  static_cast<void>(launched);
  return {};
}

Result<void> create(const Guests& guests, RunRequest request) {
  const std::string name = request.name;
  request = TRY(with_versions(guests, std::move(request)));
  CreatedGuest created = TRY(create_guest(guests, std::move(request)));
  TRY(keep_guest(std::move(created)));
  return start(guests, name);
}

Result<void> remove(const Guests& guests, const std::string& name) {
  const Result<Guest> guest = guests.find(name);
  if (!guest && guest.error().code() == Code::kNotFound) return {};
  if (!guest) return Error(guest.error().code(), guest.error().text());
  if (guest->runs()) {
    Result<void> stopped = stop_guest(guests, guest->record, {}, "vrun apply");
    // It may have ended by itself meanwhile.
    if (!stopped && stopped.error().code() != Code::kState) return stopped;
  }
  // A monitor that is ending may take parts of the tree away at the same time.
  Result<void> removed = remove_guest(guests, guest->record, Force::kYes);
  for (int again = 0; again < 10 && !removed; ++again) {
    if (removed.error().code() != Code::kNotFound) return removed;
    const Result<Guest> now = guests.find(name);
    if (!now && now.error().code() == Code::kNotFound) return {};
    Deadline::pause(50);
    removed = remove_guest(guests, guest->record, Force::kYes);
  }
  return removed;
}

Result<void> replace(const Guests& guests, const WantedGuest& wanted, std::int64_t timeout_ms) {
  const Result<Guest> old = guests.find(wanted.name);
  const bool was_good = old && old->runs();
  TRY(remove(guests, wanted.name));
  Result<void> made = create(guests, wanted.request);
  if (made && !wanted.is_job)
    made = wait_until_up(guests, wanted, std::min(timeout_ms, wanted.up_timeout_ms));
  if (made || wanted.is_job || !wanted.rollback || !was_good) return made;
  TRY(remove(guests, wanted.name));
  RunRequest before = old->record.request;
  const std::string label = std::string(kContentsLabel) + "=";
  std::erase_if(before.labels, [&](const std::string& l) { return l.starts_with(label); });
  Result<void> back = create(guests, std::move(before));
  const std::string words = made.error().text();
  if (!back) {
    return std::move(back).error().during("after '" + words + "' its old form does not start");
  }
  return Error(made.error().code(), words + "; its old form runs again").hint(made.error().hint());
}

// ---- changes while it runs ----

constexpr std::string RunRequest::*kTexts[] = {
    &RunRequest::memory,      &RunRequest::memory_reservation, &RunRequest::memory_swap,
    &RunRequest::cpus,        &RunRequest::cpu_weight,         &RunRequest::cpuset_cpus,
    &RunRequest::cpuset_mems, &RunRequest::pids_limit,         &RunRequest::blkio_weight,
    &RunRequest::cpu_shares};

RunRequest limits_to_change(const RunRequest& now, const RunRequest& wanted) {
  RunRequest changes;
  for (std::string RunRequest::*text : kTexts) {
    if (now.*text == wanted.*text) continue;
    // "-1" takes a limit away; a weight has no such word.
    const bool weight = text == &RunRequest::cpu_weight;
    changes.*text = (wanted.*text).empty() ? (weight ? "100" : "-1") : wanted.*text;
  }
  for (std::vector<std::string> RunRequest::*list :
       {&RunRequest::device_read_bps, &RunRequest::device_write_bps, &RunRequest::device_read_iops,
        &RunRequest::device_write_iops}) {
    if (now.*list != wanted.*list) changes.*list = wanted.*list;
  }
  if (now.restart != wanted.restart)
    changes.restart = wanted.restart.empty() ? "no" : wanted.restart;
  return changes;
}

std::vector<std::string> missing_from(const std::vector<std::string>& from,
                                      const std::vector<std::string>& all) {
  std::vector<std::string> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out), [&](const std::string& one) {
    return std::find(from.begin(), from.end(), one) == from.end();
  });
  return out;
}

// A monitor learns the rules of its health check when it is born: the guest gets a new one.
Result<void> renew_monitor(const Guests& guests, const GuestRecord& record) {
  const std::string text =
      TRY(fs::read_file(At::cwd(), guests.monitor_dir(record) + "/monitor", 64));
  const auto number = parse_u64(trim(text));
  if (!number || *number <= 1) return Error(Code::kState, "its monitor is not known");
  const Fd monitor = TRY(sys::pidfd_open(Pid(static_cast<pid_t>(*number))));
  TRY(sys::pidfd_signal(monitor.get(), SIGKILL));
  struct pollfd ended {
    monitor.get(), POLLIN, 0
  };
  ::poll(&ended, 1, 5000);
  return adopt_guest(guests, record);
}

Result<void> change(const Guests& guests, const WantedGuest& wanted) {
  const Guest guest = TRY(guests.find(wanted.name));
  const RunRequest& now = guest.record.request;
  const RunRequest changes = limits_to_change(now, wanted.request);
  if (changes != RunRequest()) TRY(update_guest(guests, guest.record, changes));
  const auto add = missing_from(now.publish, wanted.request.publish);
  const auto drop = missing_from(wanted.request.publish, now.publish);
  if (!add.empty() || !drop.empty()) TRY(change_ports(guests, guest.record, add, drop));
  const auto limit = [](const std::string& old, const std::string& wished) {
    if (old == wished) return std::string();
    return wished.empty() ? std::string("-1") : wished;
  };
  const BandwidthChange bandwidth{limit(now.bandwidth_in, wanted.request.bandwidth_in),
                                  limit(now.bandwidth_out, wanted.request.bandwidth_out),
                                  limit(now.network_pps, wanted.request.network_pps)};
  if (bandwidth.any()) TRY(change_bandwidth(guests, guest.record, bandwidth));
  const auto same = [&](const auto& member) { return now.*member == wanted.request.*member; };
  const bool probes = !same(&RunRequest::health) || !same(&RunRequest::readiness) ||
                      !same(&RunRequest::startup) || !same(&RunRequest::post_start);
  {
    // Last: the labels say that all of the above is done.
    LockedGuest locked = TRY(guests.lock(guest.record));
    RunRequest& kept = locked.guest.record.request;
    kept.labels = TRY(with_versions(guests, wanted.request)).labels;
    kept.health = wanted.request.health;
    kept.readiness = wanted.request.readiness;
    kept.startup = wanted.request.startup;
    kept.post_start = wanted.request.post_start;
    kept.pre_stop = wanted.request.pre_stop;
    kept.start_after = wanted.request.start_after;
    if (kept.cpu_weight == "100" && wanted.request.cpu_weight.empty()) kept.cpu_weight.clear();
    TRY(locked.save());
  }
  if (!probes || !guest.runs()) return {};
  return renew_monitor(guests, guest.record);
}

Result<void> act_on_guest(const Guests& guests, const Wanted& wanted, const PlanStep& step,
                          const ApplyOptions& options) {
  if (step.act == Act::kDelete) return remove(guests, step.name);
  const WantedGuest& guest = wanted.guests[step.index];
  if (step.act == Act::kChange) return change(guests, guest);
  for (const Dependency& dependency : guest.after)
    TRY(wait_for(guests, wanted, dependency, options.timeout_ms));
  switch (step.act) {
    case Act::kCreate:
      return create(guests, guest.request);
    case Act::kReplace:
      return replace(guests, guest, options.timeout_ms);
    case Act::kStart:
      TRY(change(guests, guest));
      return start(guests, guest.name);
    default:
      return {};
  }
}

// ---- networks and contents ----

Result<void> act_on_network(const Guests& guests, const Wanted& wanted, const PlanStep& step) {
  network::Networks networks = TRY(network::Networks::open(
      {guests.places().data, guests.places().run}, guests.tenant(), guests.host()));
  if (step.act == Act::kDelete || step.act == Act::kReplace) {
    TRY(networks.remove(step.name));
    note_network(guests, step.name, "remove");
  }
  if (step.act == Act::kDelete) return {};
  const WantedObject& object = wanted.networks[step.index];
  network::NewNetwork wish;
  wish.name = object.name;
  for (const auto& [path, value] : flat(object.spec)) {
    const auto bad = [&, p = path, v = value] {
      return Error(Code::kInvalid, p + ": " + quote(v) + " is no address");
    };
    if (path.starts_with("subnets[")) {
      const auto v4 = network::parse_subnet4(value);
      const auto v6 = network::parse_subnet6(value);
      if (!v4 && !v6) return bad();
      if (v4) wish.subnet4 = *v4;
      if (v6) wish.subnet6 = *v6;
    } else if (path.starts_with("gateways[")) {
      const auto v4 = network::parse_ipv4(value);
      const auto v6 = network::parse_ipv6(value);
      if (!v4 && !v6) return bad();
      if (v4) wish.gateway4 = *v4;
      if (v6) wish.gateway6 = *v6;
    } else if (path == "ipv6") {
      wish.ipv6 = value == "true";
    } else if (path == "internal") {
      wish.internal = value == "true";
    } else if (path == "mtu") {
      wish.mtu = static_cast<std::uint32_t>(parse_u64(value).value_or(0));
    } else if (path.starts_with("labels.")) {
      wish.labels[path.substr(7)] = value;
    }
  }
  wish.labels[kManifestLabel] = wanted.manifest;
  wish.labels[kAppliedLabel] = object.spec;
  if (step.act == Act::kChange) return networks.relabel(wish.name, std::move(wish.labels));
  TRY(networks.create(wish));
  note_network(guests, wish.name, "create");
  return {};
}

Result<void> act_on_content(const Guests& guests, const Wanted& wanted, const PlanStep& step) {
  const bool secret = step.kind == "Secret";
  const ContentKind kind = secret ? ContentKind::kSecret : ContentKind::kConfig;
  if (step.act == Act::kDelete) return remove_content(guests, kind, step.name);
  const WantedObject& object = (secret ? wanted.secrets : wanted.configs)[step.index];
  Content content;
  content.version = make_guest_id().substr(0, 16);
  content.manifest = wanted.manifest;
  content.files = TRY(content_files(object, guests.host()));
  return write_content(guests, kind, step.name, content);
}

Result<void> act_on_volume(const Guests& guests, const Wanted& wanted, const PlanStep& step) {
  if (step.act == Act::kDelete) return remove_volume(guests, step.name);
  const WantedObject& object = wanted.volumes[step.index];
  const json::Document spec = TRY(json::Document::parse(object.spec, object.name));
  std::vector<std::string> labels;
  if (const json::Value* given = spec.root().find("labels")) {
    for (const json::Member& one : given->members())
      labels.push_back(std::string(one.key.as_text()) + "=" + std::string(one.value.as_text()));
  }
  labels.push_back(std::string(kManifestLabel) + "=" + wanted.manifest);
  labels.push_back(std::string(kAppliedLabel) + "=" + object.spec);
  if (step.act == Act::kChange) return relabel_volume(guests, object.name, std::move(labels));
  Volume volume;
  volume.name = object.name;
  volume.labels = std::move(labels);
  return make_volume(guests, std::move(volume));
}

// A run is begun by root, when who applied it is long gone: files of the host are read now, with
// that user's rights, and directories of the host cannot be opened with them then.
Result<void> settle_run(const Guests& guests, CronJob& job) {
  TRY(settle_request(job.request, guests.host()));
  if (!is_brokered(guests.host())) return {};
  const auto refuse_host = [&](const Result<AskedMount>& asked) -> Result<void> {
    if (!asked || asked->is_volume || asked->mount.type == "tmpfs") return {};
    return Error(Code::kDenied, "CronJob " + job.name + ": " + quote(asked->mount.source) +
                                    " is of the host, and its runs have no user to open it for")
        .hint("a Volume is the tenant's own; root may apply it as it is");
  };
  for (const std::string& text : job.request.volumes)
    TRY(refuse_host(parse_volume(text, "/")));
  for (const std::string& text : job.request.mounts)
    TRY(refuse_host(parse_mount(text)));
  return {};
}

Result<void> act_on_cron_job(const Guests& guests, const Wanted& wanted, const PlanStep& step) {
  if (step.act == Act::kDelete) return remove_cron_job(guests, step.name);
  CronJob job = wanted.cron_jobs[step.index];
  TRY(settle_run(guests, job));
  return write_cron_job(guests, job);
}

}  // namespace

Result<void> wait_until_up(const Guests& guests, const WantedGuest& wanted,
                           std::int64_t timeout_ms) {
  if (wanted.is_job) return wait_completed(guests, wanted.name, timeout_ms);
  const Deadline deadline(timeout_ms);
  // Without probes a guest is well that lives longer than a program that cannot start.
  const Deadline settled(500);
  std::string pending;
  while (!deadline.over()) {
    const Guest seen = TRY(guests.find(wanted.name));
    if (is_between_lives(seen)) {
      Deadline::pause(50);
      continue;
    }
    const Guest guest = TRY(find_running(guests, wanted.name));
    const bool well = TRY(is_well(guest));
    if (well && (!guest.probes.empty() || settled.over())) return {};
    pending.clear();
    for (const ProbeState& probe : guest.probes) {
      if (probe.state == "healthy") continue;
      pending = ": " + std::string(name_of(probe.probe)) + ": " +
                (probe.reason.empty() ? "has not been good yet" : probe.reason);
      break;
    }
    Deadline::pause(50);
  }
  return too_long(wanted.name, "did not come up", timeout_ms, pending);
}

Result<void> carry_out_step(const Guests& guests, const Wanted& wanted, const PlanStep& step,
                            const ApplyOptions& options) {
  if (step.act == Act::kNone) return {};
  if (step.kind == "Network") return act_on_network(guests, wanted, step);
  if (step.kind == "Secret" || step.kind == "Config") return act_on_content(guests, wanted, step);
  if (step.kind == "Volume") return act_on_volume(guests, wanted, step);
  if (step.kind == "CronJob") return act_on_cron_job(guests, wanted, step);
  return act_on_guest(guests, wanted, step, options);
}

}  // namespace vrun::engine
