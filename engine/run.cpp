#include "engine/run.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "engine/attach.hpp"
#include "engine/end_memory.hpp"
#include "engine/events.hpp"
#include "engine/guest_dir.hpp"
#include "engine/guest_end.hpp"
#include "engine/guest_files.hpp"
#include "engine/guest_life.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_setup.hpp"
#include "engine/guest_start.hpp"
#include "engine/guest_view.hpp"
#include "engine/guest_volumes.hpp"
#include "engine/joined_guest.hpp"
#include "engine/micro_vm.hpp"
#include "engine/monitor/protocol.hpp"
#include "engine/policies.hpp"
#include "engine/rootless.hpp"
#include "engine/seccomp_kill.hpp"
#include "engine/system_guest.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/tenant_policy.hpp"
#include "engine/tenant_usage.hpp"
#include "engine/told_end.hpp"
#include "engine/volume_store.hpp"
#include "images/overlay.hpp"
#include "oci/documents.hpp"
#include "runtime/container.hpp"
#include "steps/builder.hpp"

namespace vrun::engine {
namespace {

constexpr int kOurFailure = 125;

// Without -i the guest reads what we would; with --interactive=false it reads nothing.
Result<void> close_stdin() {
  const Fd null = TRY(sys::open(At::cwd(), "/dev/null", O_RDONLY));
  if (::dup2(null.get(), STDIN_FILENO) < 0) return Error::system(errno, "close stdin");
  return {};
}

struct Prepared {
  images::Image image;
  GuestRecord record;
  GuestFacts facts;
};

Result<Prepared> prepare(RunRequest request, const Guests& guests) {
  TRY(settle_request(request, guests.host()));
  TRY(check_request(request));
  TRY(check_network(request));
  TRY(check_policies(request));
  TRY(check_wishes(guests, request));
  images::Image image = TRY(find_image(request, guests));
  TRY(publish_exposed(image.config.exposed_ports, request));
  if (!request.name.empty()) TRY(check_guest_name(request.name));
  GuestRecord record = TRY(new_record(image, guests, std::move(request)));
  GuestFacts facts = TRY(read_facts(record, guests));
  const std::optional<JoinedGuest> joined = TRY(find_joined(guests, record.request));
  if (joined) {
    facts.joined = joined->paths;
    record.joined_id = joined->root_id;
  }
  facts.network_path = TRY(shared_network_path(guests, record.request));
  // What is wrong with the flags is said before anything is made.
  TRY(check_flags(image.config, record.request));
  return Prepared{std::move(image), std::move(record), std::move(facts)};
}

// The guest that lives and dies with this command: we are its parent, its stdio is ours, and no
// monitor is needed.
bool is_direct(const RunRequest& request) {
  if (is_micro_vm(request)) return false;  // the way of those has the VMM
  const HealthRequest none;
  return request.remove && !request.detach && !request.tty.value_or(false) &&
         request.health == none && request.readiness == none && request.startup == none &&
         request.post_start.empty() && request.pre_stop.empty() && request.restart.empty() &&
         request.sig_proxy;
}

// An end that the exit code alone does not explain gets a line.
void warn_of_end(const LastExit& last, const std::string& name) {
  const bool odd = (last.oom && last.code != 0) || last.signal == SIGSYS;
  if (!odd) return;
  log::warning("guest " + name + ": " + last.reason + (last.hint.empty() ? "" : "; " + last.hint));
}

void explain_direct_end(const Guests& guests, const GuestRecord& record, const sys::Exit& exit,
                        Pid pid) {
  EndFacts facts;
  facts.status = exit.signaled ? exit.value : exit.value << 8;  // as waitpid(2) says it
  add_memory_facts(guests, record, facts);
  if (exit.signaled && exit.value == SIGSYS) facts.syscall = killed_for(pid);
  LastExit last;
  explain_end(facts, last);
  warn_of_end(last, record.name);
}

Result<int> run_prepared(Prepared& prepared, const images::Store& store, Fd in_use,
                         const Guests& guests) {
  GuestFacts& facts = prepared.facts;
  const GuestRecord& record = prepared.record;
  const Places& places = guests.places();
  // Made in this order and undone in the other one: directory, ids, mount, container.
  TRY(enter_tenant(guests));
  Fd admission = TRY(admit_guest(guests, record.request));
  GuestDir guest = TRY(GuestDir::create(places.guests(guests.tenant()), record));
  admission.reset();
  TRY(write_cidfile(record));
  in_use.reset();  // from here on the guest's record keeps the image
  const Host& host = guests.host();
  const IdSpace space = host.nested() ? IdSpace() : TRY(id_space_of(guests));
  IdRange ids = host.nested() ? IdRange::whole(namespace_ids(host))
                              : TRY(IdRange::allocate(ids_dir(places), space, guest.path()));
  const auto mapping = mapping_of(record, ids);
  facts.uids = facts.gids = mapping;
  Fd root =
      TRY(make_root(store, {prepared.image.config, guest.dir(), layer_ids(host, mapping), false}));
  facts.account = TRY(account_of(root, prepared.image.config, record.request));
  TRY(check_account(facts.account, host));
  Undo drop_volumes([&] { static_cast<void>(remove_own_volumes(guests, record)); });
  TRY(make_volumes(guests, record));
  TRY(fill_volumes(guests, record, root, mapping));
  TRY(write_guest_files(guest.dir(), files_of(record, mapping[0].host_id)));
  facts.files_dir = fs::join(guest.path(), "files");
  oci::Spec spec = TRY(build_spec(prepared.image.config, record.request, facts));
  const std::vector<Fd> pins = TRY(fit_to_tenant(guests, record.request, spec));
  if (has_view(record.request, host))
    TRY(add_view(spec, places.states(guests.tenant()) + "/" + record.id));
  if (!record.request.interactive.value_or(true)) TRY(close_stdin());

  runtime::RunOptions options;
  options.create.id = record.id;
  options.create.bundle = guest.path();
  options.create.spec = &spec;
  options.create.overlay_root = &root;
  options.ends_by_user = true;
  options.keep = guests.tenant() != kDefaultTenant;  // its counters are read first
  options.before_start = [&](Pid pid) -> Result<void> {
    note_usage_start(guests, record);
    TRY(attach_network(guests, record, pid));
    return start_view(guests, record, spec, pid);
  };
  options.at_end = [&](const sys::Exit& exit, Pid pid) {
    explain_direct_end(guests, record, exit, pid);
  };
  Result<int> code = runtime::run(guests.context(), options);
  note_usage_end(guests, record);
  if (options.keep) {
    Result<void> removed = runtime::remove(guests.context(), record.id, true);
    if (code && !removed) code = std::move(removed).error();
  }
  if (!code) code = in_flag_words(std::move(code).error(), spec, record);
  static_cast<void>(detach_network(guests, record));
  root.reset();  // the last reference to the overlay, before its upper directory goes
  if (!code && runtime::state(guests.context(), record.id)) {
    // It could not be removed: its processes may live, and nobody else may have their ids.
    ids.keep();
    guest.keep();
    drop_volumes.commit();
    return code;
  }
  ids.release();
  drop_volumes.commit();
  if (Result<void> emptied = remove_own_volumes(guests, record); !emptied)
    log::warning(emptied.error().text());
  Result<void> removed = guest.remove();
  if (code && !removed) return std::move(removed).error().during("remove guest " + record.name);
  return code;
}

Result<int> run_direct(const RunRequest& request, const Guests& guests) {
  const images::Store store = TRY(images::Store::open(guests.places().data));
  Fd in_use = TRY(store.use());  // no layer is collected before the guest's record names it
  Prepared prepared = TRY(prepare(request, guests));
  TRY(images::check_can_carry_guests(store.layers(), guests.places().data));
  warn_of(prepared.record.request);
  TRY(bring_layers(store, prepared.image, guests.host()));
  Result<int> code = run_prepared(prepared, store, std::move(in_use), guests);
  if (!code) return std::move(code).error().during("run " + prepared.record.name);
  return code;
}

// After a failed start: a guest that nobody asked to keep is not kept.
void forget(const Guests& guests, CreatedGuest& created, const Error& error) {
  const GuestRecord& record = created.record;
  created.dir.keep();
  // A program that cannot be executed is an end that `inspect` explains; where vrun itself failed
  // (a port in use, no address left) nothing ran, and the name is free for another try.
  if (!record.request.remove && exit_code_of(error) != kOurFailure) return;
  // What was lost may only be our connection to it.
  const Result<Guest> now = guests.find(record.name);
  if (now && now->runs()) return;
  static_cast<void>(remove_guest(guests, record, Force::kYes, OwnVolumes::kRemove));
}

Result<int> run_detached(const Guests& guests, CreatedGuest& created) {
  const GuestRecord& record = created.record;
  Result<LaunchedGuest> launched = launch_guest(guests, record, {});
  if (!launched) {
    forget(guests, created, launched.error());
    return std::move(launched).error().during("run " + record.name);
  }
  created.dir.keep();
  TRY(sys::write_all(STDOUT_FILENO, record.id + "\n"));
  return 0;
}

}  // namespace

Result<int> run_guest(const RunRequest& request, const Guests& guests,
                      const std::string& detach_keys) {
  RunRequest settled = request;
  TRY(settle_request(settled, guests.host()));
  TRY(need_root(guests.host()));
  if (is_direct(settled)) return run_direct(settled, guests);
  CreatedGuest created = TRY(create_guest(guests, std::move(settled)));
  const GuestRecord& record = created.record;
  if (record.request.detach) return run_detached(guests, created);
  const StayRequest stay{detach_keys, record.request.interactive.value_or(false),
                         record.request.sig_proxy};
  Result<int> code = start_and_stay(guests, record, stay);
  if (!code) {
    forget(guests, created, code.error());
    return std::move(code).error().during("run " + record.name);
  }
  created.dir.keep();
  return code;
}

Result<int> start_and_stay(const Guests& guests, const GuestRecord& record,
                           const StayRequest& stay) {
  sys::SocketPair pair = TRY(sys::packet_pair());
  Launch launch;
  launch.client = std::move(pair.theirs);
  launch.client_flags = monitor::kWantsOutput | monitor::kLossless;
  launch.until_client_ends = stay.input;
  // With --rm the record is gone when it has ended. Where the file system has no nameless files
  // (overlayfs before Linux 6.1) the end has no words.
  Result<Fd> made = record.request.remove ? make_told_end(guests) : Fd();
  const Fd told = made ? *std::move(made) : Fd();
  if (told) launch.end = TRY(sys::duplicate(told.get()));
  const LaunchedGuest launched = TRY(launch_guest(guests, record, std::move(launch)));
  AttachRequest request;
  request.connection = std::move(pair.mine);
  request.tty = record.request.tty.value_or(false);
  request.input = stay.input;
  request.detach_keys = stay.detach_keys;
  request.forward_signals = stay.forward_signals;
  const AttachEnd end = TRY(attach(std::move(request)));
  if (end.detached) return 0;
  const Result<Guest> ended = guests.find(record.name);
  const std::optional<LastExit> last = told_end(told);
  if (ended && ended->record.id == record.id) {
    warn_of_end(ended->record.last, record.name);
  } else if (last) {
    warn_of_end(*last, record.name);
  }
  if (power_down_of(record.request, end.code - 128)) {
    const bool goes_on = ended && (ended->runs() || ended->status == GuestStatus::kRestarting);
    if (goes_on) log::warning("guest " + record.name + " has rebooted: vrun attach " + record.name);
    return 0;
  }
  return end.code < 0 ? kOurFailure : end.code;
}

Result<void> need_root(const Host& host) {
  if (!host.rootless()) return {};
  return Error(Code::kDenied, "guests need root in this version").hint("run it with sudo");
}

Result<std::string> plan_guest(const RunRequest& request, const Guests& guests) {
  const Places& places = guests.places();
  if (is_micro_vm(request)) {
    return Error(Code::kUnsupported, "the plan of a micro-VM cannot be shown yet")
        .hint("without --isolation vm it shows what the jail has in common with a container");
  }
  RunRequest looking = request;
  if (looking.pull.empty()) looking.pull = "never";  // fetching would change something
  Prepared prepared = TRY(prepare(std::move(looking), guests));
  TRY(need_root(guests.host()));
  GuestFacts& facts = prepared.facts;
  const GuestRecord& record = prepared.record;
  const Host& host = guests.host();
  const IdSpace space = host.nested() ? IdSpace() : TRY(id_space_of(guests));
  const std::uint32_t start = host.nested() ? 0 : TRY(IdRange::next_free(ids_dir(places), space));
  const std::uint32_t size = host.nested() ? host.nested_ids : kIdsPerGuest;
  facts.uids = facts.gids = {{.container_id = 0, .host_id = start, .size = size}};
  if (host.nested()) facts.uids = facts.gids = namespace_ids(host);
  facts.files_dir = "";  // made only when the guest is
  facts.account = TRY(planned_account(prepared.image.config, record.request, places));
  oci::Spec spec = TRY(build_spec(prepared.image.config, record.request, facts));
  const std::vector<Fd> pins = TRY(fit_to_tenant(guests, record.request, spec));
  if (has_view(record.request, host))
    TRY(add_view(spec, places.states(guests.tenant()) + "/" + record.id));

  std::string text = "guest " + record.name + "\n";
  text += "image " + prepared.image.name + " " + prepared.image.digest.str() + "\n";
  for (const oci::Digest& id : prepared.image.config.diff_ids)
    text += "layer " + id.str() + "\n";
  text += "ids " + std::to_string(start) + " to " + std::to_string(start + size - 1) + "\n";
  text += "root overlay of the layers, writable below " + guests.path_of(record) + "\n";
  // A volume that a run would make cannot be opened yet: it is in the specification, and its mount
  // is not among the steps.
  oci::Spec planned = spec;
  for (const VolumeUse& use : record.volumes) {
    const std::string data = volume_data(places, guests.tenant(), use.name);
    const bool is_there = sys::stat(At::cwd(), data).has_value();
    text +=
        "volume " + use.name + (is_there ? "" : " (new)") + " at " + printable(use.target) + "\n";
    if (!is_there)
      std::erase_if(planned.mounts, [&](const auto& one) { return one.source == data; });
  }
  text += "\nspecification:\n" + oci::to_json(spec, true) + "\n";

  runtime::CreateOptions options;
  options.id = record.id;
  options.bundle = "/";
  options.spec = &planned;
  const std::string steps = TRY(runtime::plan_text(guests.context(), options));
  return text + "\nsteps:\n" + steps;
}

int exit_code_of(const Error& error) {
  const bool at_program = error.step() == steps::name_of(steps::Op::kFindProgram) ||
                          error.step() == steps::name_of(steps::Op::kExec);
  if (!at_program) return kOurFailure;
  return error.code() == Code::kNotFound ? 127 : 126;
}

}  // namespace vrun::engine
