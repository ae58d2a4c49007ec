#include "engine/guest_life.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/checkpoint.hpp"
#include "engine/clone.hpp"
#include "engine/contents.hpp"
#include "engine/cron.hpp"
#include "engine/disk.hpp"
#include "engine/end_memory.hpp"
#include "engine/events.hpp"
#include "engine/guest_debug.hpp"
#include "engine/guest_dir.hpp"
#include "engine/guest_end.hpp"
#include "engine/guest_files.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_setup.hpp"
#include "engine/guest_start.hpp"
#include "engine/guest_volumes.hpp"
#include "engine/health_check.hpp"
#include "engine/id_ranges.hpp"
#include "engine/micro_vm.hpp"
#include "engine/micro_vm_call.hpp"
#include "engine/monitor/protocol.hpp"
#include "engine/monitor_call.hpp"
#include "engine/policies.hpp"
#include "engine/rollback.hpp"
#include "engine/rootless_network.hpp"
#include "engine/seccomp_kill.hpp"
#include "engine/standstill.hpp"
#include "engine/start_order.hpp"
#include "engine/system_guest.hpp"
#include "engine/tenant_usage.hpp"
#include "engine/told_end.hpp"
#include "engine/volume_store.hpp"

namespace vrun::engine {
namespace {

// After SIGKILL, and for writing an end down.
constexpr int kSettleMs = 20000;

// What vrun did last to the guest, so that its end can be explained.
void note_killer(const Guests& guests, const GuestRecord& record, int signal, std::string_view by) {
  const Result<Fd> file = sys::open(At::cwd(), guests.monitor_dir(record) + "/killers",
                                    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600);
  if (!file) return;
  static_cast<void>(
      sys::write_all(file->get(), std::to_string(signal) + " " + std::string(by) + "\n"));
}

// What the monitor did to the guest, and because of which probe.
struct ProbeAction {
  std::string_view action, probe;
};

// The status is that of vrun-vmm, which exits as a shell does for a process that a signal ended.
void add_machine_facts(const vm::EndReport& report, EndFacts& facts) {
  facts.machine = report.lost;
  facts.checkpointed = report.checkpointed;
  facts.oom_kills += report.memory_kills;
  if (report.memory_kills > 0 && facts.memory_limit.empty())
    facts.memory_limit = std::to_string(vm::kDefaultMemory >> 20U) + "m, as --memory is not given";
  const int signal = static_cast<int>(report.signal);
  const bool by_signal = signal != 0 && facts.status && WIFEXITED(*facts.status) &&
                         WEXITSTATUS(*facts.status) == 128 + signal;
  if (by_signal) facts.status = signal;
}

EndFacts facts_of(const Guests& guests, const GuestRecord& record, std::optional<int> status,
                  const ProbeAction& action) {
  EndFacts facts;
  facts.status = status;
  facts.action = action.action;
  facts.probe = action.probe;
  for (const ProbeState& state : read_probe_states(guests.monitor_dir(record))) {
    if (file_of(state.probe) == action.probe) facts.probe_reason = state.reason;
  }
  facts.power_down = power_down_of(record.request, status);
  add_memory_facts(guests, record, facts);
  const bool by_filter = status && WIFSIGNALED(*status) && WTERMSIG(*status) == SIGSYS;
  const Result<Pid> number = runtime::init_number(guests.context(), record.id);
  if (by_filter && number) facts.syscall = killed_for(*number);
  if (is_micro_vm(record.request)) add_machine_facts(micro_vm_end(guests, record), facts);
  facts.killers =
      fs::read_file(At::cwd(), guests.monitor_dir(record) + "/killers", 65536).value_or("");
  return facts;
}

void note_end(const Guests& guests, const GuestRecord& record) {
  if (record.last.oom) note_event(guests.places(), record, "oom");
  std::map<std::string, std::string> attributes{{"exitCode", std::to_string(record.last.code)},
                                                {"reason", record.last.reason}};
  if (record.last.signal != 0) attributes["signal"] = std::to_string(record.last.signal);
  note_event(guests.places(), record, "die", attributes);
}

// The end of a life: group, state and network are given back, the reason is in the record.
Result<void> finish_life(const Guests& guests, LockedGuest& locked, std::optional<int> status,
                         const ProbeAction& action) {
  GuestRecord& record = locked.guest.record;
  EndFacts facts = facts_of(guests, record, status, action);
  facts.checkpointed = TRY(settle_checkpoint(guests, locked, facts.checkpointed));
  note_usage_end(guests, record);
  TRY(runtime::remove(guests.context(), record.id, true));
  // The interfaces are still there: the monitor holds their namespace.
  if (Result<network::Counters> traffic = traffic_of(guests, record)) record.traffic = *traffic;
  TRY(detach_network(guests, record));
  TRY(clear_contents(guests, record));
  record.last.finished = now_text();
  explain_end(facts, record.last);
  note_end(guests, record);
  return {};
}

// Directory, ids, monitor's directory. The guest does not run and its lock is held.
Result<void> remove_all(const Guests& guests, const LockedGuest& locked,
                        OwnVolumes volumes = OwnVolumes::kKeep) {
  const GuestRecord& record = locked.guest.record;
  TRY(runtime::remove(guests.context(), record.id, true));
  // Before the record, which alone says whose they are.
  if (volumes == OwnVolumes::kRemove || record.request.remove) {
    TRY(remove_own_volumes(guests, record));
  }
  TRY(release_range(ids_dir(guests.places()), record.first_id, locked.path()));
  TRY(remove_kept(guests.places().guests(guests.tenant()), record.name));
  TRY(remove_monitor_dir(guests, record));
  TRY(clear_contents(guests, record));
  note_event(guests.places(), record, "destroy");
  return {};
}

// Seconds between two times of now_text() are enough here.
std::int64_t life_ms(const LastExit& last) {
  const auto seconds = [](const std::string& text) -> std::int64_t {
    tm utc{};
    if (::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &utc) == nullptr) return 0;
    return static_cast<std::int64_t>(::timegm(&utc));
  };
  return (seconds(last.finished) - seconds(last.started)) * 1000;
}

struct Next {
  enum class What { kNothing, kRemove, kRestart } what = What::kNothing;
  std::int64_t delay_ms = 0;
};

Next what_follows(LockedGuest& locked, std::string_view action) {
  GuestRecord& record = locked.guest.record;
  if (is_checkpointed(record)) return {};
  // `reboot` inside: the next life of the same guest, whatever its policy. Not when it was stopped.
  const bool reboots = record.last.rebooted && record.desired == Desired::kRunning;
  if (reboots) return {Next::What::kRestart, 0};
  const RestartPolicy policy = parse_restart(record.request.restart).value_or(RestartPolicy{});
  const bool stopped = record.desired == Desired::kStopped || action == "unhealthy-stop";
  const bool wanted = !stopped && (action == "unhealthy-restart" ||
                                   policy.wants_restart(record.last.code, record.restarts));
  if (!wanted) return {record.request.remove ? Next::What::kRemove : Next::What::kNothing, 0};
  record.quick_ends = life_ms(record.last) >= kLongLifeMs ? 0 : record.quick_ends + 1;
  ++record.restarts;
  return {Next::What::kRestart, restart_delay_ms(record.quick_ends - (record.quick_ends > 0))};
}

Result<void> note_restarting(const Guests& guests, LockedGuest& locked) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), guests.monitor_dir(locked.guest.record)));
  TRY(fs::replace_file(dir, "restarting", ""));
  TRY(locked.save());  // last: until then the guest is seen to be ending
  note_event(guests.places(), locked.guest.record, "restart");
  return {};
}

// Of the process that was the monitor.
Fd own_lock() {
  Fd lock(monitor::kLockFd);
  if (!sys::set_inheritable(lock.get(), false)) static_cast<void>(lock.release());
  return lock;
}

// Clients that waited for the end of the guest learn now that it has been written down.
void let_clients_go() {
  static_cast<void>(::syscall(SYS_close_range, 3, monitor::kLockFd - 1, 0));
}

Result<LockedGuest> lock_by_name(const Guests& guests, const std::string& id,
                                 const std::string& name) {
  GuestRecord record;
  record.id = id;
  record.name = name;
  return guests.lock(record);
}

Result<LockedGuest> lock_monitored(const Guests& guests, const std::string& id) {
  Result<LockedGuest> locked = lock_by_name(guests, id, TRY(name_of_monitored(guests, id)));
  if (locked || locked.error().code() != Code::kNotFound) return locked;
  // A rename may have been killed before it was written down here.
  return guests.lock(TRY(guests.find(id)).record);
}

Result<Next> end_and_decide(const Guests& guests, LockedGuest& locked, std::optional<int> status,
                            const ProbeAction& action) {
  TRY(finish_life(guests, locked, status, action));
  const Next next = what_follows(locked, action.action);
  switch (next.what) {
    case Next::What::kRemove:
      tell_end(guests, locked.guest.record);
      TRY(remove_all(guests, locked));
      break;
    case Next::What::kRestart:
      TRY(note_restarting(guests, locked));
      break;
    case Next::What::kNothing:
      locked.guest.record.desired = Desired::kStopped;
      TRY(locked.save());
      TRY(remove_monitor_dir(guests, locked.guest.record));
      break;
  }
  return next;
}

// The guest's monitor is dead: the guest gets another one, or its end is written down.
Result<void> repair_guest(const Guests& guests, const std::string& id) {
  Next next;
  GuestRecord record;
  {
    LockedGuest locked = TRY(lock_monitored(guests, id));
    record = locked.guest.record;
    if (open_monitor(guests, record)) return {};  // it came while we waited
    if (locked.guest.status == GuestStatus::kRestarting) {
      if (record.desired == Desired::kStopped) return remove_monitor_dir(guests, record);
      next = {Next::What::kRestart, 0};
    } else if (!locked.guest.runs()) {
      if (!record.last.finished.empty()) return remove_monitor_dir(guests, record);
      next = TRY(end_and_decide(guests, locked, std::nullopt, {}));
    }
  }
  if (next.what == Next::What::kRestart) return launch_waiting(guests, record, next.delay_ms);
  if (next.what == Next::What::kRemove || !guests.find(record.name)) return {};
  const Guest now = TRY(guests.find(record.name));
  if (!now.runs()) return {};
  return adopt_guest(guests, record);
}

// Is the lock of a monitor's directory free, and nobody at work on the guest?
bool is_orphan(const std::string& monitor_dir) {
  const Result<Fd> lock = sys::open(At::cwd(), monitor_dir + "/monitor", O_RDONLY | O_NOFOLLOW);
  if (!lock) return true;
  return ::flock(lock->get(), LOCK_SH | LOCK_NB) == 0;
}

Result<void> repair_monitored(const Guests& guests) {
  const std::string path = guests.places().monitors(guests.tenant());
  Result<Fd> dir = sys::open_dir(At::cwd(), path);
  if (!dir) return {};
  for (const std::string& id : TRY(sys::list_dir(dir->get()))) {
    if (!is_orphan(path + "/" + id)) continue;
    Result<void> repaired = repair_guest(guests, id);
    if (repaired) continue;
    if (repaired.error().code() == Code::kNotFound) {
      // Killed before it had a name, or while it was removed: no guest has this id. Whoever is
      // about to become its monitor holds the lock.
      const Result<Fd> lock =
          sys::open(At::cwd(), path + "/" + id + "/monitor", O_RDWR | O_NOFOLLOW);
      if (lock && ::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) continue;
      TRY(fs::remove_tree(*dir, id));
      continue;
    }
    log::warning(std::move(repaired).error().during("repair guest " + id.substr(0, 12)).text());
  }
  return {};
}

// Ends what is left of a guest whose command died. False: it still runs, let it.
Result<bool> end_unkept(const Guests& guests, const std::string& name) {
  if (name.starts_with('.')) {
    TRY(settle_staged(guests, name));
    return true;
  }
  const Result<Guest> guest = guests.find(name);
  if (!guest) return true;  // killed before it had a record
  // A debug shell is nobody's guest: it ends with its command.
  const bool debug_shell = !guest->record.label(kDebugLabel).empty();
  if (guest->runs() && !debug_shell) return false;
  TRY(runtime::remove(guests.context(), guest->record.id, true));
  if (const Result<Fd> dir = sys::open_dir(At::cwd(), guests.path_of(guest->record))) {
    drop_made_volumes(guests, *dir, guest->record.name);
  }
  TRY(remove_own_volumes(guests, guest->record));
  return true;
}

Result<void> send(const Guests& guests, const GuestRecord& record, int signal,
                  std::string_view by) {
  note_killer(guests, record, signal, by);
  TRY(runtime::kill(guests.context(), record.id, signal, false));
  note_event(guests.places(), record, "kill", {{"signal", std::to_string(signal)}});
  return {};
}

// A frozen process takes no signal.
void thaw(const Guests& guests, const Guest& guest) {
  if (guest.status != GuestStatus::kPaused) return;
  static_cast<void>(runtime::resume(guests.context(), guest.record.id));
}

// Waits for the process, then for its end to be written down (by us, if its monitor is dead).
Result<bool> wait_for_end(const Guests& guests, const GuestRecord& record, const Fd& process,
                          std::int64_t timeout_ms) {
  std::array<pollfd, 1> ended{pollfd{process.get(), POLLIN, 0}};
  if (TRY(sys::poll(ended, static_cast<int>(timeout_ms))) == 0) return false;
  if (!TRY(wait_for_monitor(guests, record, kSettleMs))) {
    return Error(Code::kTimeout, "the end of " + record.name + " was not written down in time");
  }
  repair(guests);
  return true;
}

Result<void> stop_waiting(const Guests& guests, LockedGuest& locked) {
  const Result<Fd> monitor = open_monitor(guests, locked.guest.record);
  if (monitor) {
    TRY(sys::pidfd_signal(monitor->get(), SIGTERM));
    TRY(wait_for_monitor(guests, locked.guest.record, kSettleMs));
  }
  TRY(remove_monitor_dir(guests, locked.guest.record));
  note_event(guests.places(), locked.guest.record, "stop");
  return {};
}

Result<StopRules> rules_of(const LockedGuest& locked) {
  Result<oci::ImageConfig> image = read_image_config(locked.dir());
  // One of `run --rm` in the foreground keeps no image's words: it lives as long as its command.
  if (!image && image.error().code() == Code::kNotFound) image = oci::ImageConfig();
  if (!image) return std::move(image).error();
  const RunRequest& request = locked.guest.record.request;
  StopRules rules = TRY(stop_rules(request, *image));
  const bool by_init = is_system(request) && request.stop_signal.empty() &&
                       image->stop_signal.empty() && locked.guest.runs();
  if (!by_init) return rules;
  const auto program =
      sys::read_link(At::cwd(), "/proc/" + std::to_string(locked.guest.pid.value) + "/exe");
  if (program) rules.signal = stop_signal_of_init(*program);
  return rules;
}

Result<void> kill_and_wait(const Guests& guests, const GuestRecord& record, const Fd& process,
                           std::string_view by) {
  Result<void> killed = send(guests, record, SIGKILL, by);
  if (!killed && killed.error().code() != Code::kState && killed.error().code() != Code::kNotFound)
    return killed;
  if (TRY(wait_for_end(guests, record, process, kSettleMs))) return {};
  return Error(Code::kTimeout, "guest " + quote(record.name) + " still runs after SIGKILL")
      .hint("a process of it waits for the kernel: see `vrun top` and dmesg");
}

// The guest's preStop command, within the time that its stop has; answers what is left of it. One
// that fails or takes too long is told and no more: the guest is asked to end all the same.
std::int64_t run_pre_stop(const Guests& guests, const GuestRecord& record, std::int64_t patience) {
  if (record.request.pre_stop.empty() || patience == 0) return patience;
  const auto begin = std::chrono::steady_clock::now();
  constexpr std::int64_t kForEver = 3600000;
  const Result<int> code = check_by_program(guests, record, record.request.pre_stop,
                                            patience < 0 ? kForEver : patience, "pre-stop");
  const std::string why = !code                 ? code.error().text()
                          : *code == kCheckLate ? "it took longer than the guest has for its end"
                          : *code != 0          ? "exited with code " + std::to_string(*code)
                                                : "";
  if (!why.empty()) log::warning("guest " + record.name + ": its preStop command: " + why);
  if (patience < 0) return patience;
  const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  return std::max<std::int64_t>(patience - spent.count(), 0);
}

}  // namespace

Result<void> stop_guest(const Guests& guests, const GuestRecord& record, const StopWish& wish,
                        std::string_view by) {
  Fd process;
  std::int64_t patience = 0;
  bool runs = false;
  {
    LockedGuest locked = TRY(guests.lock(record));
    locked.guest.record.desired = Desired::kStopped;
    TRY(locked.save());
    runs = locked.guest.status == GuestStatus::kRunning;
    patience = wish.timeout_ms.value_or(runs ? TRY(rules_of(locked)).timeout_ms : 0);
  }
  // Without the lock: the guest may end meanwhile, and that is written down under it. What stands
  // still can do nothing before its end.
  if (runs) patience = run_pre_stop(guests, record, patience);
  {
    LockedGuest locked = TRY(guests.lock(record));
    if (locked.guest.status == GuestStatus::kRestarting) return stop_waiting(guests, locked);
    if (!locked.guest.runs() && locked.guest.status != GuestStatus::kEnding) return {};
    const StopRules rules = TRY(rules_of(locked));
    if (!runs) patience = wish.timeout_ms.value_or(rules.timeout_ms);
    Result<Fd> opened = runtime::open_init(guests.context(), record.id);
    if (opened) {
      process = *std::move(opened);
      static_cast<void>(send(guests, record, wish.signal.value_or(rules.signal), by));
      thaw(guests, locked.guest);
    }
  }
  if (!process) {  // it has ended by itself
    TRY(wait_for_monitor(guests, record, kSettleMs));
    return {};
  }
  if (!TRY(wait_for_end(guests, record, process, patience))) {
    TRY(kill_and_wait(guests, record, process, by));
  }
  note_event(guests.places(), record, "stop");
  return {};
}

Result<void> kill_guest(const Guests& guests, const GuestRecord& record, int signal,
                        std::string_view by) {
  LockedGuest locked = TRY(guests.lock(record));
  if (!locked.guest.runs()) {
    return Error(Code::kState, "guest " + quote(record.name) + " is not running (" +
                                   to_text(locked.guest.status) + ")");
  }
  if (signal == SIGKILL || signal == TRY(rules_of(locked)).signal) {
    locked.guest.record.desired = Desired::kStopped;
    TRY(locked.save());
  }
  return send(guests, record, signal, by);
}

Result<void> remove_guest(const Guests& guests, const GuestRecord& record, Force force,
                          OwnVolumes volumes) {
  {
    LockedGuest locked = TRY(guests.lock(record));
    const bool idle = !locked.guest.runs() && locked.guest.status != GuestStatus::kRestarting &&
                      !open_monitor(guests, record);
    if (idle) return remove_all(guests, locked, volumes);
    if (force == Force::kNo && locked.guest.status != GuestStatus::kExited) {
      return Error(Code::kState,
                   "guest " + quote(record.name) + " is " + to_text(locked.guest.status))
          .hint("stop it first, or use rm --force");
    }
  }
  const StopWish wish{.timeout_ms = force == Force::kYes ? 0 : kSettleMs, .signal = {}};
  TRY(stop_guest(guests, record, wish, "vrun rm"));
  TRY(wait_for_monitor(guests, record, kSettleMs));
  Result<LockedGuest> locked = guests.lock(record);
  if (!locked && locked.error().code() == Code::kNotFound) return {};  // it had --rm
  if (!locked) return std::move(locked).error();
  return remove_all(guests, *locked, volumes);
}

Result<void> rename_guest(const Guests& guests, const GuestRecord& record,
                          const std::string& new_name) {
  TRY(check_guest_name(new_name));
  LockedGuest locked = TRY(guests.lock(record));
  const std::string tenant_dir = guests.places().guests(guests.tenant());
  const Fd parent = TRY(sys::open_dir(At::cwd(), tenant_dir));
  const auto move = [&]() -> Result<void> {
    if (::syscall(SYS_renameat2, parent.get(), record.name.c_str(), parent.get(), new_name.c_str(),
                  1U /* RENAME_NOREPLACE */) == 0) {
      return {};
    }
    if (errno == EEXIST) {
      return Error(Code::kExists, "guest " + quote(new_name) + " already exists")
          .hint("choose another name");
    }
    return Error::system(errno, "rename guest " + quote(record.name));
  };
  const std::string path = tenant_dir + "/" + new_name;
  TRY(rename_owner(ids_dir(guests.places()), locked.guest.record.first_id, path, move));
  locked.guest.record.name = new_name;
  TRY(locked.save());
  TRY(rename_network(guests, record.name, locked.guest.record));
  TRY(rename_monitored(guests, locked.guest.record));
  note_event(guests.places(), locked.guest.record, "rename", {{"oldName", record.name}});
  return {};
}

Result<void> pause_guest(const Guests& guests, const GuestRecord& record, bool paused) {
  const LockedGuest locked = TRY(guests.lock(record));
  TRY(paused ? runtime::pause(guests.context(), record.id)
             : runtime::resume(guests.context(), record.id));
  const bool has_agent = is_micro_vm(record.request) &&
                         (!is_disk_guest(record.request) || agent_answers(guests, record));
  if (!paused && has_agent) set_guest_clock(guests, record);
  note_event(guests.places(), record, paused ? "pause" : "unpause");
  return {};
}

Result<void> reset_restarts(const Guests& guests, const GuestRecord& record) {
  LockedGuest locked = TRY(guests.lock(record));
  if (locked.guest.record.restarts == 0 && locked.guest.record.quick_ends == 0) return {};
  locked.guest.record.restarts = locked.guest.record.quick_ends = 0;
  return locked.save();
}

Result<Wait> Wait::begin(const Guests& guests, const GuestRecord& record) {
  Wait wait(record);
  const LockedGuest locked = TRY(guests.lock(record));  // its end is told under the lock
  if (Result<Fd> process = runtime::open_init(guests.context(), record.id)) {
    wait.process_ = *std::move(process);
  }
  Result<Fd> exit = record.request.remove ? open_told_end(guests, record) : Fd();
  // Without a monitor there is no directory.
  if (!exit && exit.error().code() != Code::kNotFound) return std::move(exit).error();
  if (exit) wait.exit_ = *std::move(exit);
  return wait;
}

Result<int> Wait::told() const {
  if (const std::optional<LastExit> end = told_end(exit_)) return end->code;
  // Of a guest without a monitor its parent, a `vrun run` somewhere, has reaped the process.
  const auto exit = process_ ? sys::kept_exit(process_.get()) : std::nullopt;
  if (exit) return exit->code();
  return Error(Code::kState, "guest " + quote(record_.name) + " was removed when it had ended")
      .hint("its exit code is kept without --rm");
}

Result<int> Wait::finish(const Guests& guests) {
  while (true) {
    TRY(wait_for_monitor(guests, record_, -1));
    if (process_) {
      std::array<pollfd, 1> ended{pollfd{process_.get(), POLLIN, 0}};
      TRY(sys::poll(ended, -1));
    }
    repair(guests);
    Result<Guest> guest = guests.find(record_.name);
    const bool gone = !guest || guest->record.id != record_.id;
    if (gone) return told();
    // We saw it run, and nobody has written its end down: the command that runs it removes it now.
    const bool going = process_ && record_.request.remove && guest->record.last.finished.empty();
    if (!guest->runs() && guest->status != GuestStatus::kRestarting && !going) {
      return guest->record.last.code;
    }
    constexpr int kSettleTime = 10;
    TRY(sys::poll({}, kSettleTime));
    if (going) continue;
    Result<Wait> next = begin(guests, guest->record);  // another life
    if (next) *this = *std::move(next);
  }
}

Result<int> guest_ended(const Guests& guests, const std::string& id, std::string_view status,
                        std::string_view action, std::string_view probe) {
  Fd lock = own_lock();
  const auto number = parse_u64(status);
  const auto known = number ? std::optional<int>(static_cast<int>(*number)) : std::nullopt;
  Next next;
  GuestRecord record;
  {
    LockedGuest locked = TRY(lock_monitored(guests, id));
    record = locked.guest.record;
    next = TRY(end_and_decide(guests, locked, known, {action, probe}));
  }
  if (next.what != Next::What::kRestart) return 0;
  let_clients_go();
  MonitorPlace place = TRY(keep_monitor(guests, record, std::move(lock)));
  return become_waiting_monitor(guests, record, std::move(place), next.delay_ms);
}

Result<int> guest_restarts(const Guests& guests, const std::string& id) {
  const std::string name = TRY(name_of_monitored(guests, id));
  BecomeRequest request;
  request.lock = own_lock();
  Error error = start_and_monitor(guests, name, std::move(request));
  // It cannot start: another end of its life, and its policy decides again.
  Next next;
  GuestRecord record;
  MonitorPlace place;
  {
    LockedGuest locked = TRY(lock_by_name(guests, id, name));
    next = what_follows(locked, "");
    record = locked.guest.record;
    if (next.what != Next::What::kRestart) return error;
    place = TRY(claim_monitor(guests, record));
    TRY(note_restarting(guests, locked));
  }
  return become_waiting_monitor(guests, record, std::move(place), next.delay_ms);
}

Result<int> guest_probe(const Guests& guests, const std::string& id, Probe probe) {
  const std::string name = TRY(name_of_monitored(guests, id));
  const Guest guest = TRY(guests.find(name));
  return check_guest(guests, guest, probe);
}

Result<int> guest_probe_changed(const Guests& guests, const std::string& id, std::string_view probe,
                                std::string_view state) {
  const std::string name = TRY(name_of_monitored(guests, id));
  const Guest guest = TRY(guests.find(name));
  for (const ProbeState& one : guest.probes) {
    if (file_of(one.probe) != probe) continue;
    std::map<std::string, std::string> attributes{{"probe", std::string(name_of(one.probe))},
                                                  {"status", std::string(state)}};
    if (!one.reason.empty() && state == "unhealthy") attributes["reason"] = one.reason;
    note_event(guests.places(), guest.record, "health_status", attributes);
  }
  return 0;
}

void repair(const Guests& guests) {
  Result<void> done = repair_monitored(guests);
  if (done) {
    done = sweep_guests(guests.places().guests(guests.tenant()),
                        [&](const std::string& name) { return end_unkept(guests, name); });
  }
  if (done) done = ensure_timer(guests);
  if (done) done = end_standstills(guests);
  if (done) done = sweep_volumes(guests);
  if (done && guests.host().nested()) done = sweep_uplinks(guests);
  if (done) done = release_orphaned_ranges(ids_dir(guests.places()));
  if (!done) {
    log::warning(std::move(done).error().during("cleaning up after a killed command").text());
  }
}

Result<int> restore_guests(const Guests& guests,
                           const std::function<void(const GuestRecord&, const Error&)>& on_error) {
  repair(guests);
  int failed = 0;
  std::vector<Guest> all = TRY(guests.list());
  std::reverse(all.begin(), all.end());  // the oldest first
  put_in_start_order(all);
  for (const Guest& guest : all) {
    using Kind = RestartPolicy::Kind;
    const RestartPolicy policy =
        parse_restart(guest.record.request.restart).value_or(RestartPolicy{});
    const bool always = policy.kind == Kind::kAlways;
    const bool wanted = guest.record.desired == Desired::kRunning &&
                        (policy.kind == Kind::kUnlessStopped || policy.kind == Kind::kOnFailure);
    const bool idle = !guest.runs() && guest.status != GuestStatus::kRestarting;
    if (!idle || (!always && !wanted) || guest.status == GuestStatus::kCreated) continue;
    if (is_checkpointed(guest.record)) continue;  // a boot would give up what ran
    Result<LaunchedGuest> launched = launch_guest(guests, guest.record, {});
    if (launched) continue;
    ++failed;
    on_error(guest.record, launched.error());
  }
  return failed;
}

}  // namespace vrun::engine
