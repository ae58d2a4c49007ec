#include "cli/verb_guests.hpp"

#include <algorithm>
#include <array>

#include <signal.h>
#include <unistd.h>

#include "base/signals.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/verb_checkpoint.hpp"
#include "cli/verb_images.hpp"
#include "engine/attach.hpp"
#include "engine/cron.hpp"
#include "engine/flag_words.hpp"
#include "engine/guest_life.hpp"
#include "engine/guest_start.hpp"
#include "engine/monitor_call.hpp"
#include "engine/policies.hpp"
#include "engine/rootless.hpp"
#include "engine/run.hpp"
#include "engine/tenant_entry.hpp"

namespace vrun::cli {
namespace {

using engine::GuestRecord;
using engine::Guests;

Result<void> say(const std::string& line) {
  return sys::write_all(STDOUT_FILENO, line + "\n");
}

// As it was named on the command line: what scripts expect back.
Result<void> echo(const GuestRecord& record) {
  return say(record.name);
}

Result<int> create(const EverydayCall& call) {
  const Guests guests = TRY(guests_of(call));
  TRY(engine::need_root(call.host));
  engine::RunRequest request = TRY(to_request(call.arguments));
  request.detach = true;  // no terminal of ours is meant
  engine::CreatedGuest created = TRY(engine::create_guest(guests, std::move(request)));
  const GuestRecord record = TRY(engine::keep_guest(std::move(created)));
  TRY(say(record.id));
  return 0;
}

// A guest that waits for its next life starts at once; one whose end is being written down, after
// that.
Result<void> end_waiting(const Guests& guests, const GuestRecord& record) {
  constexpr int kSettleMs = 20000;
  const engine::Guest guest = TRY(guests.find(record.name));
  if (guest.status == engine::GuestStatus::kRestarting) return engine::stop_guest(guests, record);
  if (!guest.runs()) TRY(engine::wait_for_monitor(guests, record, kSettleMs));
  return {};
}

bool runs_now(const Guests& guests, const GuestRecord& record) {
  const Result<engine::Guest> guest = guests.find(record.name);
  return guest && guest->record.id == record.id && guest->runs();
}

// One that runs already is started, as for Docker; also when somebody else was faster. Others may
// start and stop it at the same moment: then again.
Result<void> start_one(const Guests& guests, const GuestRecord& record) {
  constexpr int kMostTries = 20;
  TRY(engine::reset_restarts(guests, record));
  for (int attempt = 1;; ++attempt) {
    TRY(end_waiting(guests, record));
    if (runs_now(guests, record)) return {};
    Result<engine::LaunchedGuest> launched = engine::launch_guest(guests, record, {});
    if (launched || runs_now(guests, record)) return {};
    const bool busy = launched.error().code() == Code::kState;
    if (!busy || attempt == kMostTries) return std::move(launched).error();
  }
}

Result<int> start_attached(const EverydayCall& call) {
  const Guests guests = TRY(guests_of(call));
  if (call.arguments.words().size() != 1) {
    return Error(Code::kInvalid, "--attach: one guest at a time");
  }
  const engine::Guest guest = TRY(guests.find(call.arguments.word(0)));
  TRY(end_waiting(guests, guest.record));
  TRY(engine::reset_restarts(guests, guest.record));
  engine::StayRequest request;
  request.detach_keys = TRY(engine::parse_detach_keys(call.arguments.text("detach-keys")));
  request.input = call.arguments.on("interactive");
  return engine::start_and_stay(guests, guest.record, request);
}

Result<int> start(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  const Guests guests = TRY(guests_of(call));
  if (call.arguments.on("attach") || call.arguments.on("interactive")) {
    return start_attached(call);
  }
  return for_each_guest(call, [](const Guests& all, const GuestRecord& record) -> Result<void> {
    TRY(start_one(all, record));
    return echo(record);
  });
}

Result<std::optional<std::int64_t>> stop_time(const EverydayCall& call) {
  std::string text = call.arguments.text("time");
  if (text.empty()) text = call.arguments.text("timeout");
  if (text.empty()) return std::optional<std::int64_t>();
  engine::RunRequest request;
  request.stop_timeout = text;
  return std::optional(TRY(engine::stop_rules(request, {})).timeout_ms);
}

Result<engine::StopWish> stop_wish(const EverydayCall& call) {
  engine::StopWish wish;
  wish.timeout_ms = TRY(stop_time(call));
  const std::string signal = call.arguments.text("signal");
  if (!signal.empty()) wish.signal = TRY(parse_signal(signal));
  return wish;
}

Result<int> stop(const EverydayCall& call) {
  const engine::StopWish wish = TRY(stop_wish(call));
  return for_each_guest(call, [&](const Guests& guests, const GuestRecord& record) -> Result<void> {
    TRY(engine::stop_guest(guests, record, wish));
    return echo(record);
  });
}

Result<int> restart(const EverydayCall& call) {
  const engine::StopWish wish = TRY(stop_wish(call));
  return for_each_guest(call, [&](const Guests& guests, const GuestRecord& record) -> Result<void> {
    TRY(engine::stop_guest(guests, record, wish, "vrun restart"));
    TRY(start_one(guests, record));
    return echo(record);
  });
}

Result<int> kill(const EverydayCall& call) {
  const int signal = TRY(parse_signal(call.arguments.text("signal")));
  return for_each_guest(call, [&](const Guests& guests, const GuestRecord& record) -> Result<void> {
    TRY(engine::kill_guest(guests, record, signal));
    return echo(record);
  });
}

Result<int> rm(const EverydayCall& call) {
  const bool force = call.arguments.on("force");
  const auto volumes =
      call.arguments.on("volumes") ? engine::OwnVolumes::kRemove : engine::OwnVolumes::kKeep;
  const auto how = force ? engine::Force::kYes : engine::Force::kNo;
  const Guests guests = TRY(guests_of(call));
  int failed = 0;
  for (const std::string_view word : call.arguments.words()) {
    const auto remove = [&]() -> Result<void> {
      const engine::Guest guest = TRY(guests.find(word));
      return engine::remove_guest(guests, guest.record, how, volumes);
    };
    Result<void> removed = remove();
    if (removed) {
      TRY(say(std::string(word)));
      continue;
    }
    if (force && removed.error().code() == Code::kNotFound) continue;
    failed = kOwnFailure;
    complain("vrun", std::move(removed).error().during("rm"));
  }
  engine::repair(guests);  // what the guests' own killed starts had taken, ids above all
  collect_by_policy(call);
  return failed;
}

bool has_any_label(const GuestRecord& record, const std::vector<std::string>& wanted) {
  const auto& labels = record.request.labels;
  return wanted.empty() || std::any_of(wanted.begin(), wanted.end(), [&](const auto& one) {
           return std::any_of(labels.begin(), labels.end(), [&](const std::string& label) {
             return label == one || label.substr(0, label.find('=')) == one;
           });
         });
}

Result<int> prune(const EverydayCall& call) {
  std::vector<std::string> labels = call.arguments.list("filter");
  for (std::string& filter : labels) {
    constexpr std::string_view kLabel = "label=";
    if (!filter.starts_with(kLabel)) {
      return Error(Code::kInvalid, "--filter " + quote(filter) + ": unknown")
          .hint("there is: label=NAME[=VALUE]");
    }
    filter = filter.substr(kLabel.size());
  }
  if (!call.arguments.on("force") &&
      !TRY(says_yes("This removes every guest that does not run, with all it wrote. Go on?"))) {
    return 1;
  }
  const Guests guests = TRY(guests_of(call));
  engine::repair(guests);
  int failed = 0;
  for (const engine::Guest& guest : TRY(guests.list())) {
    using enum engine::GuestStatus;
    const bool idle = guest.status == kExited || guest.status == kCreated;
    if (!idle || !has_any_label(guest.record, labels)) continue;
    Result<void> removed = engine::remove_guest(guests, guest.record, engine::Force::kNo);
    if (removed) {
      TRY(say(guest.record.name));
      continue;
    }
    // Somebody was faster: removed is removed, and one that was started stays.
    const Code code = removed.error().code();
    if (code == Code::kNotFound || code == Code::kState) continue;
    failed = kOwnFailure;
    complain("vrun", std::move(removed).error().during("container prune"));
  }
  return failed;
}

// Until its liveness probe, or all that it needs to be ready, is good.
Result<void> wait_well(const Guests& guests, std::string_view name, bool ready) {
  constexpr int kLookAgainMs = 50;
  while (true) {
    const engine::Guest guest = TRY(guests.find(name));
    const bool between = guest.status == engine::GuestStatus::kRestarting ||
                         guest.status == engine::GuestStatus::kEnding;
    if (!guest.runs() && !between) {
      return Error(Code::kState, "guest " + quote(guest.record.name) +
                                     " does not run: " + guest.record.last.reason);
    }
    if (guest.runs() && !ready && guest.health.empty()) {
      return Error(Code::kState, "guest " + quote(guest.record.name) + " has no health check")
          .hint("--health-cmd of run, or a liveness probe");
    }
    if (guest.runs() && (ready ? guest.ready : guest.health == "healthy")) return {};
    TRY(sys::poll({}, kLookAgainMs));
  }
}

Result<int> wait(const EverydayCall& call) {
  const Guests guests = TRY(guests_of(call));
  const std::string condition = call.arguments.text("condition");
  if (condition == "healthy" || condition == "ready") {
    for (const std::string_view word : call.arguments.words())
      TRY(wait_well(guests, word, condition == "ready"));
    return 0;
  }
  if (condition != "ended") {
    return Error(Code::kInvalid, "--condition " + quote(condition) + ": unknown")
        .hint("there are: ended, healthy, ready");
  }
  std::vector<engine::Wait> waits;
  for (const std::string_view word : call.arguments.words()) {
    const engine::Guest guest = TRY(guests.find(word));
    waits.push_back(TRY(engine::Wait::begin(guests, guest.record)));
  }
  for (engine::Wait& wait : waits) {
    const int code = TRY(wait.finish(guests));
    TRY(say(std::to_string(code)));
  }
  return 0;
}

Result<int> rename(const EverydayCall& call) {
  const Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(call.arguments.word(0)));
  TRY(engine::rename_guest(guests, guest.record, call.arguments.word(1)));
  return 0;
}

Result<int> attach(const EverydayCall& call) {
  const Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(call.arguments.word(0)));
  if (!guest.runs()) {
    return Error(Code::kState, "guest " + quote(guest.record.name) + " is not running (" +
                                   engine::to_text(guest.status) + ")")
        .hint("`vrun logs` shows what it said");
  }
  engine::AttachRequest request;
  request.detach_keys = TRY(engine::parse_detach_keys(call.arguments.text("detach-keys")));
  request.connection = TRY(engine::connect_to_monitor(guests, guest.record));
  request.tty = guest.record.request.tty.value_or(false);
  request.input = !call.arguments.on("no-stdin");
  request.forward_signals = call.arguments.on("sig-proxy");
  const engine::AttachEnd end = TRY(engine::attach(std::move(request)));
  if (end.detached) return 0;
  return end.code < 0 ? kOwnFailure : end.code;
}

Result<int> restore_one(const EverydayCall& call, const std::string& tenant) {
  const Guests guests = TRY(engine::open_tenant(call.places, tenant, call.host));
  return engine::restore_guests(guests, [](const GuestRecord& record, const Error& error) {
    complain(
        "vrun",
        Error(error.code(), "restore " + record.name + ": " + error.text()).hint(error.hint()));
  });
}

// Those of every tenant, unless one is named. One that cannot be restored holds up no other.
Result<int> restore(const EverydayCall& call) {
  if (!call.arguments.words().empty()) return everyday_restore_named(call);
  TRY(engine::need_root(call.host));
  if (call.tenant != engine::kDefaultTenant)
    return TRY(restore_one(call, call.tenant)) == 0 ? 0 : kOwnFailure;
  int failed = 0;
  for (const tenants::Tenant& tenant : TRY(engine::tenant_store(call.places).list())) {
    Result<int> some = restore_one(call, tenant.name);
    if (!some) complain("vrun", std::move(some).error().during("restore tenant " + tenant.name));
    failed += some ? *some : 1;
  }
  return failed == 0 ? 0 : kOwnFailure;
}

struct Row {
  std::string_view name;
  Result<int> (*run)(const EverydayCall&);
};
constexpr std::array kRows{Row{"create", create},
                           Row{"start", start},
                           Row{"stop", stop},
                           Row{"restart", restart},
                           Row{"kill", kill},
                           Row{"rm", rm},
                           Row{"container prune", prune},
                           Row{"ps", everyday_ps},
                           Row{"inspect", everyday_inspect},
                           Row{"logs", everyday_logs},
                           Row{"attach", attach},
                           Row{"exec", everyday_exec},
                           Row{"shell", everyday_shell},
                           Row{"machine-id", everyday_machine_id},
                           Row{"wait", wait},
                           Row{"rename", rename},
                           Row{"events", everyday_events},
                           Row{"restore", restore}};

const Row* find_row(std::string_view verb) {
  const auto found =
      std::find_if(kRows.begin(), kRows.end(), [&](const Row& row) { return row.name == verb; });
  return found == kRows.end() ? nullptr : &*found;
}

Result<int> step(const std::vector<std::string_view>& words) {
  if (words.size() < 3) return Error(Code::kInvalid, "guest-step is not for people");
  const Host host = Host::current();
  const engine::Places places = TRY(engine::Places::find(host));
  const engine::NamespaceMember member = TRY(engine::NamespaceMember::note(places, host));
  const Guests guests = TRY(engine::open_tenant(places, std::string(words[0]), host));
  const std::string id(words[1]);
  if (words[2] == "ended") {
    return engine::guest_ended(guests, id, words.size() > 3 ? words[3] : "",
                               words.size() > 4 ? words[4] : "", words.size() > 5 ? words[5] : "");
  }
  if (words[2] == "start") return engine::guest_restarts(guests, id);
  if (words[2] == "tick") return engine::cron_tick(guests);
  if (words[2] == "probe-changed" && words.size() > 4)
    return engine::guest_probe_changed(guests, id, words[3], words[4]);
  for (std::size_t i = 0; i < engine::kProbes; ++i) {
    const auto probe = static_cast<engine::Probe>(i);
    if (words[2] == engine::file_of(probe)) return engine::guest_probe(guests, id, probe);
  }
  return Error(Code::kInvalid, "guest-step is not for people");
}

}  // namespace

bool is_guest_verb(std::string_view verb) {
  return find_row(verb) != nullptr;
}

Result<int> everyday_guest(std::string_view verb, const EverydayCall& call) {
  return find_row(verb)->run(call);
}

Result<Guests> guests_of(const EverydayCall& call) {
  Guests guests = TRY(engine::open_tenant(call.places, call.tenant, call.host));
  if (!call.host.rootless()) engine::repair(guests);
  return guests;
}

Result<int> for_each_guest(
    const EverydayCall& call,
    const std::function<Result<void>(const Guests&, const GuestRecord&)>& work) {
  const Guests guests = TRY(guests_of(call));
  int failed = 0;
  for (const std::string_view word : call.arguments.words()) {
    const Result<engine::Guest> guest = guests.find(word);
    Result<void> done;
    if (guest) done = work(guests, guest->record);
    if (guest && done) continue;
    failed = kOwnFailure;
    if (guest) {
      complain("vrun", engine::as_flags(std::move(done).error()));
    } else {
      complain("vrun", guest.error());
    }
  }
  return failed;
}

Result<bool> says_yes(const std::string& question) {
  TRY(sys::write_all(STDERR_FILENO, question + " [y/N] "));
  std::array<char, 16> answer{};
  const std::size_t n = TRY(sys::read(STDIN_FILENO, answer));
  if (n > 0 && (answer[0] == 'y' || answer[0] == 'Y')) return true;
  const char* end = n == 0 || ::isatty(STDIN_FILENO) == 0 ? "\n" : "";
  TRY(sys::write_all(STDERR_FILENO,
                     std::string(end) + "nothing is removed; --force does not ask\n"));
  return false;
}

int guest_step(const std::vector<std::string_view>& words) {
  Result<int> done = step(words);
  if (done) return *done;
  // Nobody reads it but a journal; the guest's record has the rest.
  complain("vrun", done.error());
  return 125;
}

}  // namespace vrun::cli
