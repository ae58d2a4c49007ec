#include "engine/guest_start.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "engine/checkpoint.hpp"
#include "engine/contents.hpp"
#include "engine/events.hpp"
#include "engine/flag_words.hpp"
#include "engine/guest_dir.hpp"
#include "engine/guest_files.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_setup.hpp"
#include "engine/guest_view.hpp"
#include "engine/guest_volumes.hpp"
#include "engine/joined_guest.hpp"
#include "engine/micro_vm.hpp"
#include "engine/policies.hpp"
#include "engine/rootless.hpp"
#include "engine/run.hpp"
#include "engine/saved_machine.hpp"
#include "engine/system_guest.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/tenant_policy.hpp"
#include "engine/tenant_usage.hpp"
#include "engine/told_end.hpp"
#include "images/overlay.hpp"
#include "runtime/foreground.hpp"

namespace vrun::engine {
namespace {

// What the spec wants and what has to live until the program runs.
struct Making {
  oci::ImageConfig config;
  oci::Spec spec;
  GuestPipes pipes;
  Fd root;
  std::vector<Fd> pins;  // of the host's directories in the spec
  std::optional<MicroVm> vm;
};

Input input_of(const GuestRecord& record, const BecomeRequest& request) {
  if (!record.request.interactive.value_or(false)) return Input::kNone;
  return request.until_client_ends ? Input::kUntilClientEnds : Input::kForEver;
}

Result<Making> prepare(const Guests& guests, LockedGuest& locked, const MonitorPlace& place,
                       const BecomeRequest& request) {
  GuestRecord& record = locked.guest.record;
  Making making;
  making.config = TRY(read_image_config(locked.dir()));
  const images::Store store = TRY(images::Store::open(guests.places().data));
  const Host& host = guests.host();
  const IdSpace space = host.nested() ? IdSpace() : TRY(id_space_of(guests));
  IdRange ids =
      host.nested()
          ? IdRange::whole(namespace_ids(host))
          : TRY(IdRange::take(ids_dir(guests.places()), space, locked.path(), record.first_id));
  ids.keep();  // until the guest is removed
  record.first_id = ids.start();
  const std::optional<JoinedGuest> joined = TRY(find_joined(guests, record.request));
  record.joined_id = joined ? joined->root_id : 0;
  const auto mapping = mapping_of(record, ids);
  making.root =
      TRY(make_root(store, {making.config, locked.dir(), layer_ids(host, mapping), true}));
  const Account account = TRY(account_of(making.root, making.config, record.request));
  GuestRecord inside = record;  // with the files of its manifest as mounts
  inside.request =
      TRY(place_contents(guests, record, Uid(mapping[0].host_id + account.user.uid.value),
                         Gid(mapping[0].host_id + account.user.gid.value)));
  GuestFacts facts = TRY(read_facts(inside, guests));
  if (joined) facts.joined = joined->paths;
  facts.network_path = TRY(shared_network_path(guests, record.request));
  TRY(make_volumes(guests, record));
  TRY(fill_volumes(guests, record, making.root, mapping));
  facts.uids = facts.gids = mapping;
  facts.account = account;
  TRY(check_account(facts.account, host));
  TRY(write_guest_files(locked.dir(), files_of(record, mapping[0].host_id)));
  if (is_system(record.request)) {
    TRY(write_machine_id(making.root, facts.machine_id, mapping[0].host_id));
  }
  facts.files_dir = fs::join(locked.path(), "files");
  making.spec = TRY(build_spec(making.config, inside.request, facts));
  making.pins = TRY(fit_to_tenant(guests, record.request, making.spec));
  if (has_view(record.request, host))
    TRY(add_view(making.spec, guests.places().states(guests.tenant()) + "/" + record.id));
  if (facts.terminal && request.client)
    making.spec.process->console_size = runtime::terminal_size();
  if (is_micro_vm(record.request))
    making.vm = TRY(make_micro_vm(guests, place, locked.dir(), record, making.spec));
  if (facts.terminal) return making;
  const oci::User& user = making.spec.process->user;
  making.pipes =
      TRY(make_pipes(place.dir, input_of(record, request), Uid(mapping[0].host_id + user.uid.value),
                     Gid(mapping[0].host_id + user.gid.value)));
  return making;
}

struct Running {
  sys::Child child;
  Fd console, netns;
};

Result<Running> run_program(const Guests& guests, const LockedGuest& locked, Making& making) {
  const GuestRecord& record = locked.guest.record;
  Running running;
  runtime::RunOptions options;
  options.create.id = record.id;
  options.create.bundle = locked.path();
  options.create.spec = making.vm ? &making.vm->jail : &making.spec;
  if (making.vm) options.create.handed = making.vm->handed();
  options.create.overlay_root = &making.root;
  options.detach = true;
  options.child = &running.child;
  if (making.spec.process->terminal) {
    options.console = &running.console;
  } else {
    options.create.stdio = making.pipes.stdio();
  }
  options.before_start = [&](Pid pid) -> Result<void> {
    const bool own = has_own_network(record.request) && !guests.host().nested();
    if (own) running.netns = TRY(netns_of(guests, pid));
    TRY(attach_network(guests, record, pid));
    if (making.vm) TRY(complete_micro_vm(guests, record, making.spec, running.netns, *making.vm));
    return start_view(guests, record, making.spec, pid);
  };
  Result<int> run = runtime::run(guests.context(), options);
  if (!run) return in_flag_words(std::move(run).error(), making.spec, record);
  return running;
}

// A start that failed is an end, too: `inspect` and `ps` tell why.
void note_failed_start(LockedGuest& locked, const Places& places, const Error& error) {
  LastExit& last = locked.guest.record.last;
  last = {};
  last.started = last.finished = now_text();
  last.code = exit_code_of(error);
  last.reason = "cannot start: " + error.text();
  last.hint = error.hint();
  static_cast<void>(locked.save());
  note_event(places, locked.guest.record, "die", {{"exitCode", std::to_string(last.code)}});
}

Result<MonitorPlace> take_place(const Guests& guests, const GuestRecord& record, Fd& lock) {
  if (!lock) return claim_monitor(guests, record);
  return keep_monitor(guests, record, std::move(lock));
}

Result<MonitorCall> start_locked(const Guests& guests, LockedGuest& locked,
                                 BecomeRequest& request) {
  GuestRecord& record = locked.guest.record;
  if (locked.guest.runs()) {
    return Error(Code::kState, "guest " + quote(record.name) + " runs already");
  }
  TRY(check_checkpoint(record, request.restore));
  // What an earlier life may have left where it was killed at a bad moment.
  TRY(runtime::remove(guests.context(), record.id, true));
  MonitorCall call;
  call.place = TRY(take_place(guests, record, request.lock));
  request.claimed = true;
  TRY(mark_kept(locked.dir()));
  Undo undo([&] {
    static_cast<void>(detach_network(guests, record));
    static_cast<void>(clear_contents(guests, record));
    static_cast<void>(remove_monitor_dir(guests, record));
  });
  Undo keep_checkpoint([&] {
    if (request.restore) undo_restore(locked);
  });
  if (request.restore) TRY(begin_restore(locked));
  Making making = TRY(prepare(guests, locked, call.place, request));
  call.log = TRY(log_limits(record.request));
  call.probes = TRY(probe_rules(record.request, making.config));
  call.logs = TRY(sys::open_dir(locked.dir(), "logs"));
  record.desired = Desired::kRunning;
  record.last = {};
  record.last.started = now_text();
  TRY(locked.save());
  Running running = TRY(run_program(guests, locked, making));
  if (request.restore) {
    TRY(await_restored(guests, record, running.child.pidfd));
    keep_checkpoint.commit();
    TRY(end_restore(locked));
  } else if (making.vm && making.vm->state) {
    TRY(drop_saved_machine(locked.dir()));  // the next one boots
  }
  note_usage_start(guests, record);
  static_cast<void>(sys::unlink(call.place.dir, "restarting"));
  call.pidfd = std::move(running.child.pidfd);
  call.console = std::move(running.console);
  call.netns = std::move(running.netns);
  call.pipes = std::move(making.pipes);
  call.client = std::move(request.client);
  call.client_flags = request.client_flags;
  call.notify = std::move(request.notify);
  undo.commit();
  return call;
}

// ---- the two processes of a launch ----

// Over a pipe: 'k' when all is well, else an error.
std::string to_wire(const Error& error) {
  const auto number = [](auto value) { return std::to_string(static_cast<int>(value)); };
  return "e" + number(error.code()) + "\n" + number(error.sys_errno()) + "\n" + error.step() +
         "\n" + error.hint() + "\n" + error.text();
}

Error from_wire(std::string_view text) {
  std::array<std::string_view, 4> fields;
  for (std::string_view& field : fields) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    field = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  const auto code = parse_u64(fields[0]);
  if (!code || text.empty()) {
    return Error(Code::kInternal, "the process that starts the guest ended without a word");
  }
  Error error(static_cast<Code>(*code), std::string(text));
  if (!fields[2].empty()) error = std::move(error).step(fields[2]);
  if (!fields[3].empty()) error = std::move(error).hint(fields[3]);
  return error;
}

struct Pipe {
  Fd read, write;
};
Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "make a pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<void> read_answer(const Fd& from) {
  std::string answer;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = TRY(sys::read(from.get(), buffer)))
    answer.append(buffer.data(), n);
  if (answer == "k") return {};
  return from_wire(answer.empty() ? std::string_view() : std::string_view(answer).substr(1));
}

// Runs `become`, which returns only with an error, in a child of its own session.
template <typename Become>
Result<Fd> in_child(const Guests& guests, Become become) {
  Pipe answer = TRY(make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return Error::system(errno, "start a monitor");
  if (pid == 0) {
    ::setsid();  // the caller's terminal must not reach the guest
    answer.read.reset();
    Result<Fd> report = sys::duplicate(answer.write.get());
    Result<NamespaceMember> member = NamespaceMember::note(guests.places(), guests.host());
    if (member) member->keep();
    const Error error = become(std::move(answer.write));
    if (report) static_cast<void>(sys::write_all(report->get(), to_wire(error)));
    ::_exit(125);
  }
  answer.write.reset();
  Fd child = TRY(sys::pidfd_open(Pid(pid)));
  Result<void> good = read_answer(answer.read);
  if (good) return child;
  static_cast<void>(sys::wait(child.get()));
  return std::move(good).error();
}

Result<MonitorCall> call_for_running(const Guests& guests, const GuestRecord& record) {
  TRY(join_tenant(guests));
  LockedGuest locked = TRY(guests.lock(record));
  TRY(end_restore(locked));  // whoever restored it was killed, and it goes on
  MonitorCall call;
  call.adopt = true;
  call.place = TRY(claim_monitor(guests, record));
  call.pidfd = TRY(runtime::open_init(guests.context(), record.id));
  if (has_own_network(record.request)) {
    // A guest that ends at this moment is adopted all the same.
    if (Result<Fd> netns = netns_of(guests, locked.guest.pid)) call.netns = *std::move(netns);
  }
  const oci::ImageConfig config = TRY(read_image_config(locked.dir()));
  // The caller's record may be older than a change that this monitor is born for.
  const RunRequest& request = locked.guest.record.request;
  call.log = TRY(log_limits(request));
  call.probes = TRY(probe_rules(request, config));
  call.logs = TRY(sys::open_dir(locked.dir(), "logs"));
  if (record.request.tty.value_or(false)) {
    call.console = TRY(take_console(call.place.dir));
  } else {
    call.pipes = TRY(reopen_pipes(call.place.dir));
  }
  return call;
}

}  // namespace

Result<GuestRecord> keep_guest(CreatedGuest created) {
  TRY(mark_kept(created.dir.dir()));
  created.dir.keep();
  return std::move(created.record);
}

Result<CreatedGuest> create_guest(const Guests& guests, RunRequest request) {
  TRY(settle_request(request, guests.host()));
  TRY(check_request(request));
  TRY(check_micro_vm(request, guests.host().nested()));
  TRY(check_micro_vm_host(guests, request));
  TRY(check_network(request));
  TRY(check_policies(request));
  TRY(check_wishes(guests, request));
  if (!request.name.empty()) TRY(check_guest_name(request.name));
  const images::Store store = TRY(images::Store::open(guests.places().data));
  const Fd in_use = TRY(store.use());  // no layer is collected before the guest's record names it
  const images::Image image = TRY(find_image(request, guests));
  TRY(publish_exposed(image.config.exposed_ports, request));
  TRY(check_flags(image.config, request));
  TRY(images::check_can_carry_guests(store.layers(), guests.places().data));
  TRY(bring_layers(store, image, guests.host()));
  GuestRecord record = TRY(new_record(image, guests, std::move(request)));
  // The facts that can be wrong are looked at before there is a guest.
  const GuestFacts facts = TRY(read_facts(record, guests));
  TRY(check_guest(guests, image.config, record.request, facts));
  const Fd admission = TRY(admit_guest(guests, record.request));
  GuestDir dir = TRY(GuestDir::create(guests.places().guests(guests.tenant()), record));
  TRY(dir.make_startable(image.config.diff_ids.empty() ? "" : oci::to_json(image.config)));
  TRY(copy_disks(record.request, dir.path()));
  Result<void> volumes = make_volumes(guests, record);
  if (!volumes) {
    static_cast<void>(remove_own_volumes(guests, record));
    return std::move(volumes).error();
  }
  TRY(write_cidfile(record));
  warn_of(record.request);
  note_event(guests.places(), record, "create");
  return CreatedGuest{std::move(record), std::move(dir)};
}

Error start_and_monitor(const Guests& guests, const std::string& name, BecomeRequest request) {
  Result<Guest> found = guests.find(name);
  if (!found) return std::move(found).error();
  if (Result<void> entered = enter_tenant(guests); !entered) return std::move(entered).error();
  Result<LockedGuest> locked = guests.lock(found->record);
  if (!locked) return std::move(locked).error();
  Result<MonitorCall> call = start_locked(guests, *locked, request);
  if (!call) {
    Error error = as_flags(std::move(call).error());
    if (request.claimed) note_failed_start(*locked, guests.places(), error);
    return error;
  }
  note_event(guests.places(), locked->guest.record, request.restore ? "restore" : "start");
  const GuestRecord record = locked->guest.record;
  if (request.end) {
    // Before there is somebody who could tell the end. Without it there are no words, no more.
    static_cast<void>(name_told_end(guests, record, request.end));
  }
  if (::chdir("/") != 0) return Error::system(errno, "leave the directory");
  // The lock of the guest is close-on-exec: from the exec on others may change it.
  return become_monitor(guests, record, *std::move(call));
}

Result<LaunchedGuest> launch_guest(const Guests& guests, const GuestRecord& record, Launch launch) {
  Result<Fd> child = in_child(guests, [&](Fd notify) {
    BecomeRequest request;
    request.client = std::move(launch.client);
    request.client_flags = launch.client_flags;
    request.until_client_ends = launch.until_client_ends;
    request.restore = launch.restore;
    request.notify = std::move(notify);
    request.end = std::move(launch.end);
    return start_and_monitor(guests, record.name, std::move(request));
  });
  if (!child) return std::move(child).error();
  return LaunchedGuest{*std::move(child)};
}

void reap_monitor(const LaunchedGuest& launched) {
  static_cast<void>(sys::wait(launched.monitor.get()));
}

Result<void> adopt_guest(const Guests& guests, const GuestRecord& record) {
  TRY(in_child(guests, [&](Fd notify) -> Error {
    Result<MonitorCall> call = call_for_running(guests, record);
    if (!call) return std::move(call).error();
    call->notify = std::move(notify);
    return become_monitor(guests, record, *std::move(call));
  }));
  return {};
}

Result<void> launch_waiting(const Guests& guests, const GuestRecord& record,
                            std::int64_t delay_ms) {
  const pid_t pid = ::fork();
  if (pid < 0) return Error::system(errno, "start a monitor");
  if (pid > 0) return {};
  ::setsid();
  Result<NamespaceMember> member = NamespaceMember::note(guests.places(), guests.host());
  if (member) member->keep();
  static_cast<void>(join_tenant(guests));  // its next start says what is wrong
  Result<MonitorPlace> place = claim_monitor(guests, record);
  if (place) {
    static_cast<void>(become_waiting_monitor(guests, record, *std::move(place), delay_ms));
  }
  ::_exit(125);
}

}  // namespace vrun::engine
