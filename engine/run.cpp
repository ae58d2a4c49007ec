#include "engine/run.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "engine/attach.hpp"
#include "engine/events.hpp"
#include "engine/guest_dir.hpp"
#include "engine/guest_files.hpp"
#include "engine/guest_life.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_setup.hpp"
#include "engine/guest_start.hpp"
#include "engine/monitor/protocol.hpp"
#include "engine/policies.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/tenant_policy.hpp"
#include "engine/tenant_usage.hpp"
#include "images/overlay.hpp"
#include "oci/documents.hpp"
#include "runtime/container.hpp"
#include "steps/builder.hpp"

namespace vrun::engine {
namespace {

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
  if (!request.name.empty()) TRY(check_guest_name(request.name));
  GuestRecord record = new_record(image, guests, std::move(request));
  GuestFacts facts =
      TRY(read_facts(record.request, record.name, record.id, guests.tenant(), guests.host()));
  facts.network_path = TRY(shared_network_path(guests, record.request));
  // What is wrong with the flags is said before anything is made.
  TRY(check_flags(image.config, record.request));
  return Prepared{std::move(image), std::move(record), std::move(facts)};
}

// The guest that lives and dies with this command: we are its parent, its stdio is ours, and no
// monitor is needed.
bool is_direct(const RunRequest& request) {
  const HealthRequest none;
  return request.remove && !request.detach && !request.tty.value_or(false) &&
         request.health == none && request.restart.empty();
}

Result<int> run_prepared(Prepared& prepared, const images::Store& store, Fd in_use,
                         const Guests& guests) {
  GuestFacts& facts = prepared.facts;
  const GuestRecord& record = prepared.record;
  const Places& places = guests.places();
  // Made in this order and undone in the other one: directory, ids, mount, container.
  TRY(enter_tenant(guests));
  Fd admission = TRY(admit_guest(guests));
  GuestDir guest = TRY(GuestDir::create(places.guests(guests.tenant()), record));
  admission.reset();
  in_use.reset();  // from here on the guest's record keeps the image
  const IdSpace space = TRY(id_space_of(guests));
  IdRange ids = TRY(IdRange::allocate(ids_dir(places), space, guest.path()));
  const auto mapping = mapping_of(record.request, ids);
  facts.uids = facts.gids = mapping;
  Fd root = TRY(make_root(store, {prepared.image.config, guest.dir(), mapping, false}));
  facts.account = TRY(account_of(root, prepared.image.config, record.request));
  TRY(write_guest_files(guest.dir(), files_of(record, mapping[0].host_id)));
  facts.files_dir = fs::join(guest.path(), "files");
  oci::Spec spec = TRY(build_spec(prepared.image.config, record.request, facts));
  const std::vector<Fd> pins = TRY(fit_to_tenant(guests, spec));
  if (!record.request.interactive.value_or(true)) TRY(close_stdin());

  runtime::RunOptions options;
  options.create.id = record.id;
  options.create.bundle = guest.path();
  options.create.spec = &spec;
  options.create.overlay_root = &root;
  options.ends_by_user = true;
  options.keep = guests.tenant() != kDefaultTenant;  // its counters are read first
  options.before_start = [&](Pid pid) {
    note_usage_start(guests, record);
    return attach_network(guests, record, pid);
  };
  Result<int> code = runtime::run(guests.context(), options);
  note_usage_end(guests, record);
  if (options.keep) {
    Result<void> removed = runtime::remove(guests.context(), record.id, true);
    if (code && !removed) code = std::move(removed).error();
  }
  static_cast<void>(detach_network(guests, record));
  root.reset();  // the last reference to the overlay, before its upper directory goes
  if (!code && runtime::state(guests.context(), record.id)) {
    // It could not be removed: its processes may live, and nobody else may have their ids.
    ids.keep();
    guest.keep();
    return code;
  }
  ids.release();
  Result<void> removed = guest.remove();
  if (code && !removed) return std::move(removed).error().during("remove guest " + record.name);
  return code;
}

Result<int> run_direct(const RunRequest& request, const Guests& guests) {
  const images::Store store = TRY(images::Store::open(guests.places().data));
  Fd in_use = TRY(store.use());  // no layer is collected before the guest's record names it
  Prepared prepared = TRY(prepare(request, guests));
  TRY(images::check_can_carry_guests(store.layers(), guests.places().data));
  repair(guests);
  warn_of(prepared.record.request);
  TRY(bring_layers(store, prepared.image, guests.host()));
  Result<int> code = run_prepared(prepared, store, std::move(in_use), guests);
  if (!code) return std::move(code).error().during("run " + prepared.record.name);
  return code;
}

// After a failed start: a guest that nobody asked to keep is not kept.
void forget(const Guests& guests, CreatedGuest& created) {
  const GuestRecord& record = created.record;
  created.dir.keep();
  if (!record.request.remove) return;
  // What was lost may only be our connection to it.
  const Result<Guest> now = guests.find(record.name);
  if (now && now->runs()) return;
  static_cast<void>(remove_guest(guests, record, Force::kYes));
}

Result<int> run_detached(const Guests& guests, CreatedGuest& created) {
  const GuestRecord& record = created.record;
  Result<LaunchedGuest> launched = launch_guest(guests, record, {});
  if (!launched) {
    forget(guests, created);
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
  repair(guests);
  CreatedGuest created = TRY(create_guest(guests, std::move(settled)));
  const GuestRecord& record = created.record;
  if (record.request.detach) return run_detached(guests, created);
  StayRequest stay{detach_keys, record.request.interactive.value_or(false)};
  Result<int> code = start_and_stay(guests, record, stay);
  if (!code) {
    forget(guests, created);
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
  const LaunchedGuest launched = TRY(launch_guest(guests, record, std::move(launch)));
  AttachRequest request;
  request.connection = std::move(pair.mine);
  request.tty = record.request.tty.value_or(false);
  request.input = stay.input;
  request.detach_keys = stay.detach_keys;
  const AttachEnd end = TRY(attach(std::move(request)));
  if (end.detached) return 0;
  return end.code < 0 ? 125 : end.code;
}

Result<void> need_root(const Host& host) {
  if (!host.rootless()) return {};
  return Error(Code::kDenied, "guests need root in this version").hint("run it with sudo");
}

Result<std::string> plan_guest(const RunRequest& request, const Guests& guests) {
  const Places& places = guests.places();
  Prepared prepared = TRY(prepare(request, guests));
  TRY(need_root(guests.host()));
  GuestFacts& facts = prepared.facts;
  const GuestRecord& record = prepared.record;
  const IdSpace space = TRY(id_space_of(guests));
  const std::uint32_t start = TRY(IdRange::next_free(ids_dir(places), space));
  facts.uids = facts.gids = {{.container_id = 0, .host_id = start, .size = kIdsPerGuest}};
  facts.files_dir = "";  // made only when the guest is
  facts.account = TRY(planned_account(prepared.image.config, record.request, places));
  oci::Spec spec = TRY(build_spec(prepared.image.config, record.request, facts));
  const std::vector<Fd> pins = TRY(fit_to_tenant(guests, spec));

  std::string text = "guest " + record.name + "\n";
  text += "image " + prepared.image.name + " " + prepared.image.digest.str() + "\n";
  for (const oci::Digest& id : prepared.image.config.diff_ids)
    text += "layer " + id.str() + "\n";
  text += "ids " + std::to_string(start) + " to " + std::to_string(start + kIdsPerGuest - 1) + "\n";
  text += "root overlay of the layers, writable below " + guests.path_of(record) + "\n";
  text += "\nspecification:\n" + oci::to_json(spec, true) + "\n";

  runtime::CreateOptions options;
  options.id = record.id;
  options.bundle = "/";
  options.spec = &spec;
  const std::string steps = TRY(runtime::plan_text(guests.context(), options));
  return text + "\nsteps:\n" + steps;
}

int exit_code_of(const Error& error) {
  const bool at_program = error.step() == steps::name_of(steps::Op::kFindProgram) ||
                          error.step() == steps::name_of(steps::Op::kExec);
  if (!at_program) return 125;
  return error.code() == Code::kNotFound ? 127 : 126;
}

}  // namespace vrun::engine
