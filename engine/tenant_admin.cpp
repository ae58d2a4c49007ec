#include "engine/tenant_admin.hpp"

#include <algorithm>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/parents.hpp"
#include "engine/contents.hpp"
#include "engine/cron.hpp"
#include "engine/guest_life.hpp"
#include "engine/guest_setup.hpp"
#include "engine/limits.hpp"
#include "engine/run.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/volume_store.hpp"
#include "images/charge.hpp"
#include "images/names.hpp"
#include "images/store.hpp"
#include "network/networks.hpp"
#include "runtime/container.hpp"
#include "tenants/admins.hpp"
#include "tenants/id_blocks.hpp"

namespace vrun::engine {
namespace {

using tenants::Budget;
using tenants::Tenant;

Result<Tenant> find_own(const Places& places, const std::string& name, const char* what) {
  Tenant tenant = TRY(tenant_store(places).find(name));
  if (!tenant.is_default()) return tenant;
  return Error(Code::kUnsupported, std::string("the tenant 'default' cannot be ") + what)
      .hint("it is root's own; `vrun tenant create` makes tenants with a budget");
}

// ---- checking ----

void add_admins(const TenantRequest& request, Tenant& tenant, json::Faults& faults) {
  tenants::check_admins(request.admins, tenants::Accounts::of_host(), faults);
  for (const std::string& admin : request.admins) {
    if (std::find(tenant.admins.begin(), tenant.admins.end(), admin) == tenant.admins.end())
      tenant.admins.push_back(admin);
  }
  for (const std::string& admin : request.removed_admins) {
    if (std::erase(tenant.admins, admin) == 0)
      faults.add("--remove-admin", quote(admin) + " is no admin of this tenant");
  }
}

struct Unmet {
  std::string flag, why;
};

// Empty: it can. Asked of the kernel, as modules may be loaded at the first use.
std::string cannot_limit_networks(const Budget& budget, const Places& places, const Host& host) {
  if (budget.bandwidth == 0) return {};
  Result<network::Networks> networks =
      network::Networks::open({places.data, places.run}, kDefaultTenant, host);
  const Result<void> tried = networks ? networks->try_limit_all()
                                      : Error(networks.error().code(), networks.error().text());
  return tried ? "" : tried.error().text();
}

std::vector<Unmet> unmet(const Budget& budget, const Places& places, const Host& host) {
  std::vector<Unmet> found;
  const auto disk = disk_of(places);
  // Where there is no disk to name, its limits are not in the list that the group would take.
  const oci::Resources limits =
      tenants::to_resources(budget, budget, disk.value_or(tenants::Disk{}));
  for (tenants::Unenforceable& one : tenants::unenforceable_limits(limits, host))
    found.push_back({std::move(one.flag), std::move(one.why)});
  const auto add = [&](bool wanted, const char* flag, const std::string& why) {
    const auto same = [&](const Unmet& one) { return one.flag == flag; };
    if (wanted && !why.empty() && std::none_of(found.begin(), found.end(), same))
      found.push_back({flag, why});
  };
  if (!disk) {
    const std::string why = "no single block device carries " + quote(places.data);
    add(budget.io_read != 0, "io-read", why);
    add(budget.io_write != 0, "io-write", why);
  }
  add(budget.bandwidth != 0, "bandwidth", cannot_limit_networks(budget, places, host));
  return found;
}

// What cannot be held is a fault, or with --best-effort a warning.
std::vector<std::string> settle_unmet(const TenantRequest& request, const Places& places,
                                      const Host& host, Tenant& tenant, json::Faults& faults) {
  std::vector<std::string> warnings, still;
  for (const Unmet& one : unmet(tenant.budget, places, host)) {
    const bool known = std::find(tenant.unenforced.begin(), tenant.unenforced.end(), one.flag) !=
                       tenant.unenforced.end();
    if (request.best_effort || known) {
      still.push_back(one.flag);
      warnings.push_back("--" + one.flag + " is not enforced: " + one.why);
      continue;
    }
    faults.add("--" + one.flag, "cannot be enforced: " + one.why);
    faults.hint("leave it out, or use --best-effort to go on without what this host cannot do");
  }
  tenant.unenforced = std::move(still);
  return warnings;
}

Result<std::vector<std::string>> settle(const TenantRequest& request, const Places& places,
                                        const Host& host, Tenant& tenant) {
  json::Faults faults("tenant " + quote(request.name.substr(0, 80)));
  if (Result<void> named = tenants::check_tenant_name(request.name); !named)
    faults.add("", named.error().text() + ": " + named.error().hint());
  tenants::read_budget(request.budget, tenant.budget, faults);
  tenants::read_policy(request.policy, tenant.policy, faults);
  add_admins(request, tenant, faults);
  std::vector<std::string> warnings = settle_unmet(request, places, host, tenant, faults);
  TRY(faults.result());
  if (!request.manifest.empty()) {
    tenant.manifest = request.manifest;
    tenant.applied = request.applied;
  }
  return warnings;
}

// ---- ids ----

// Ranges that guests of `default` hold now are not free either.
Result<tenants::IdArea> id_area(const Places& places) {
  const IdSpace space = id_space();
  std::vector<std::uint64_t> held;
  const Result<Fd> dir = sys::open_dir(At::cwd(), ids_dir(places));
  if (dir) {
    TRY(sys::lock(dir->get(), LOCK_EX, "id ranges"));
    for (const std::string& name : TRY(sys::list_dir(dir->get()))) {
      if (const auto start = parse_u64(name)) held.push_back(*start);
    }
  }
  return tenants::IdArea{space.first, space.end, [space, held](std::uint64_t start) {
                           return space.is_free(start) &&
                                  std::find(held.begin(), held.end(), start) == held.end();
                         }};
}

Result<void> give_ids(const Places& places, const tenants::LockedStore& locked, Tenant& tenant) {
  const std::uint64_t wanted = tenants::blocks_for(tenant.budget.max_guests);
  if (tenant.ids.size() >= wanted) return {};
  const std::string dir = locked.store().dir();
  tenants::IdBook book = TRY(tenants::read_id_book(dir));
  const tenants::IdArea area = TRY(id_area(places));
  while (tenant.ids.size() < wanted)
    tenant.ids.push_back(TRY(tenants::take_block(book, area, tenant.name)));
  // Before the record: ids that are noted and not used are lost, ids that are used and not noted
  // could be given twice.
  return tenants::save_id_book(dir, book);
}

// ---- live changes ----

// Where a quota must not be above the parent's, those of running guests are brought below the new
// one first, and back up to what they asked for afterwards.
Result<void> fit_quotas(const Guests& guests, std::uint64_t cpu_milli) {
  if (!cgroups::quota_must_fit_parent(guests.host())) return {};
  for (const Guest& guest : TRY(guests.list())) {
    if (!guest.runs() || guest.record.request.cpus.empty()) continue;
    oci::Resources limits;
    limits.cpu = TRY(to_resources(guest.record.request)).cpu;
    fit_quota(limits, cpu_milli, guests.host());
    const Result<void> set = runtime::update(guests.context(), guest.record.id, limits);
    if (!set && guests.find(guest.record.name))
      return Error(set.error().code(), set.error().text());
  }
  return {};
}

Result<void> apply(const Places& places, const Tenant& before, const Tenant& now,
                   const Host& host) {
  const Result<tenants::TenantGroup> group = tenants::TenantGroup::find(places.run, now.name, host);
  if (!group) return {};  // nothing of it has run since the boot
  const Budget old_budget = enforced_budget(before), budget = enforced_budget(now);
  const Guests guests = TRY(Guests::open(places, now.name, host));
  const bool shrinks = budget.cpu_milli != 0 &&
                       (old_budget.cpu_milli == 0 || budget.cpu_milli < old_budget.cpu_milli);
  if (shrinks) TRY(fit_quotas(guests, budget.cpu_milli));
  Result<void> set = group->set_limits(limits_of(budget, old_budget, places));
  if (!set) {
    static_cast<void>(group->set_limits(limits_of(old_budget, budget, places)));
    static_cast<void>(fit_quotas(guests, old_budget.cpu_milli));
    return std::move(set).error().during("tenant " + now.name);
  }
  if (!shrinks) TRY(fit_quotas(guests, budget.cpu_milli));
  return {};
}

// The trees are empty or gone: what holds the budget goes, and then the trees.
Result<void> unmake_disk(const Places& places, const std::string& tenant,
                         const tenants::DiskNote& note) {
  const tenants::DiskPlaces at = tenants::DiskPlaces::of(places.data, tenant, note.id);
  const tenants::DiskBackend* const backend = TRY(tenants::disk_backend(note.backend));
  TRY(backend->close(at));
  for (const std::string* tree : {&at.guests, &at.volumes}) {
    Result<void> removed = sys::remove_dir(At::cwd(), *tree);
    if (!removed && removed.error().code() != Code::kNotFound) return removed;
  }
  return backend->forget(at);
}

// What a killed `tenant create` or `tenant rm` left: directories of tenants without a record.
Result<void> sweep_half_made(const Places& places, const tenants::LockedStore& locked) {
  const Fd all = TRY(sys::open_dir(At::cwd(), locked.store().dir()));
  for (const std::string& name : TRY(sys::list_dir(all.get()))) {
    if (!tenants::check_tenant_name(name) || name == kDefaultTenant) continue;
    const Result<struct stat> st = sys::stat(all, name, AT_SYMLINK_NOFOLLOW);
    if (!st || !S_ISDIR(st->st_mode) || sys::stat(all, name + "/tenant.json")) continue;
    const Result<tenants::DiskNote> note = tenants::read_disk_note(locked.store().path_of(name));
    if (!note && note.error().code() != Code::kNotFound)
      return Error(note.error().code(), note.error().text());
    if (note) TRY(unmake_disk(places, name, *note));
    TRY(fs::remove_tree(all, name));
  }
  return {};
}

Result<std::vector<std::uint64_t>> disk_ids(const tenants::LockedStore& locked) {
  std::vector<std::uint64_t> ids;
  for (const Tenant& tenant : TRY(locked.store().list()))
    ids.push_back(tenant.disk_id);
  return ids;
}

// Before the record: killed in between, there is no tenant, and the next command sweeps.
Result<void> make_disk_of(const Places& places, const tenants::LockedStore& locked,
                          const std::string& wanted, Tenant& tenant) {
  const tenants::DiskSupport support = tenants::look_at_disk(places.data);
  tenant.disk = TRY(tenants::choose_disk(wanted, support));
  tenant.disk_on = support.file_system;
  const tenants::DiskBackend* const backend = TRY(tenants::disk_backend(tenant.disk));
  const std::vector<std::uint64_t> taken = TRY(disk_ids(locked));
  tenant.disk_id = TRY(backend->take_id(disk_places(places, tenant), taken));
  const std::string dir = locked.store().path_of(tenant.name);
  const tenants::DiskNote note{tenant.disk, tenant.disk_id};
  TRY(fs::make_dirs(At::cwd(), dir, 0700));
  TRY(tenants::note_disk(dir, note));
  Result<void> made = backend->make(disk_places(places, tenant), tenant.budget.disk);
  if (made) return {};
  if (Result<void> undone = unmake_disk(places, tenant.name, note); !undone)
    log::warning(undone.error().text());
  static_cast<void>(
      fs::remove_tree(TRY(sys::open_dir(At::cwd(), locked.store().dir())), tenant.name));
  return std::move(made).error().during("tenant " + tenant.name);
}

Result<void> keeps_disk(const Tenant& tenant, const std::string& wanted) {
  if (wanted.empty() || wanted == "auto" || wanted == tenant.disk) return {};
  return Error(Code::kUnsupported, "tenant " + quote(tenant.name) +
                                       ": the disk backend is chosen when it is made, as " +
                                       (tenant.disk.empty() ? "none" : quote(tenant.disk)))
      .hint("make a new tenant, and move its guests by `vrun guest export` and `import`");
}

// Guests that exist lie where they were made.
Result<void> change_disk(const Places& places, const Tenant& before, const Tenant& now) {
  if (before.budget.disk == now.budget.disk) return {};
  if (before.disk.empty() || now.budget.disk == 0) {
    return Error(Code::kUnsupported,
                 "tenant " + quote(now.name) + ": --disk is chosen when a tenant is made")
        .hint("one that was made with it can grow");
  }
  Result<void> set =
      TRY(tenants::disk_backend(now.disk))
          ->resize(disk_places(places, now), now.budget.disk, noted_images(places, now));
  if (!set) return std::move(set).error().during("tenant " + now.name + ": --disk");
  return {};
}

Result<void> limit_networks(const Places& places, const Tenant& tenant, const Host& host) {
  network::Networks networks =
      TRY(network::Networks::open({places.data, places.run}, tenant.name, host));
  return networks.limit_all(enforced_budget(tenant).bandwidth);
}

// ---- stopping ----

// Each in a process of its own, as if as many commands were given at once.
std::vector<std::pair<pid_t, std::string>> start_stops(const Guests& guests,
                                                       const std::vector<Guest>& running,
                                                       std::optional<std::int64_t> timeout_ms,
                                                       const OnGuestError& on_error) {
  std::vector<std::pair<pid_t, std::string>> children;
  for (const Guest& guest : running) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const Result<void> stopped =
          stop_guest(guests, guest.record, {timeout_ms, std::nullopt}, "vrun tenant stop");
      if (!stopped) on_error(guest.record.name, stopped.error());
      ::_exit(stopped ? 0 : 1);
    }
    if (pid < 0) {
      on_error(guest.record.name, Error::system(errno, "start a process"));
    }
    children.emplace_back(pid, guest.record.name);
  }
  return children;
}

// So that no restart policy starts them again.
void want_stopped(const Guests& guests, const std::vector<Guest>& running) {
  for (const Guest& guest : running) {
    Result<LockedGuest> locked = guests.lock(guest.record);
    if (!locked) continue;  // removed meanwhile
    locked->guest.record.desired = Desired::kStopped;
    if (Result<void> saved = locked->save(); !saved) log::warning(saved.error().text());
  }
}

Result<std::vector<Guest>> running_guests(const Guests& guests) {
  std::vector<Guest> all = TRY(guests.list());
  std::erase_if(all, [](const Guest& guest) {
    return !guest.runs() && guest.status != GuestStatus::kRestarting;
  });
  return all;
}

// ---- removing ----

Result<network::Networks> networks_of(const Places& places, const std::string& name,
                                      const Host& host) {
  return network::Networks::open({places.data, places.run}, name, host);
}

Result<std::vector<std::string>> belongings(const Places& places, const Guests& guests,
                                            const images::Store& store) {
  std::vector<std::string> found;
  const auto add = [&](std::size_t count, const char* one, const char* many) {
    if (count != 0) found.push_back(std::to_string(count) + " " + (count == 1 ? one : many));
  };
  add(TRY(guests.list()).size(), "guest", "guests");
  add(TRY(list_cron_jobs(guests)).size(), "CronJob", "CronJobs");
  const network::Networks networks = TRY(networks_of(places, guests.tenant(), guests.host()));
  std::vector<network::Network> all = TRY(networks.list());
  std::erase_if(all, [](const auto& one) { return one.name == network::kDefaultNetwork; });
  add(all.size(), "network", "networks");
  const images::Names names = TRY(images::Names::open(store, guests.tenant()));
  add(TRY(names.list()).size(), "image", "images");
  add(TRY(list_volumes(guests)).size(), "volume", "volumes");
  for (const ContentKind kind : {ContentKind::kSecret, ContentKind::kConfig}) {
    const bool secret = kind == ContentKind::kSecret;
    add(TRY(content_names(guests, kind)).size(), secret ? "secret" : "config",
        secret ? "secrets" : "configs");
  }
  return found;
}

Result<void> remove_guests(const Guests& guests) {
  for (const Guest& guest : TRY(guests.list())) {
    Result<void> removed = remove_guest(guests, guest.record, Force::kYes);
    if (!removed && removed.error().code() != Code::kNotFound) return removed;
  }
  return {};
}

Result<void> remove_dir_of(const std::string& parent, const std::string& name) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), parent);
  if (!dir) return {};
  return fs::remove_tree(*dir, name);
}

Result<void> remove_belongings(const Places& places, const Tenant& tenant, const Guests& guests,
                               const images::Store& store) {
  const std::string& name = guests.tenant();
  for (const CronJob& job : TRY(list_cron_jobs(guests)))
    TRY(remove_cron_job(guests, job.name));
  TRY(remove_guests(guests));
  network::Networks networks = TRY(networks_of(places, name, guests.host()));
  for (const network::Network& one : TRY(networks.list()))
    TRY(networks.remove(one.name));
  TRY(networks.limit_all(0));
  TRY(remove_dir_of(places.data + "/networks", name));
  images::Names names = TRY(images::Names::open(store, name));
  for (const images::Named& one : TRY(names.list()))
    TRY(names.remove(one.reference));
  TRY(remove_dir_of(places.data + "/images/brought", name));
  images::forget_charge(places.data, name);
  const tenants::DiskBackend* disk = nullptr;
  if (!tenant.disk.empty()) disk = TRY(tenants::disk_backend(tenant.disk));
  if (disk != nullptr) TRY(disk->close(disk_places(places, tenant)));
  for (const char* dir : {"/guests", "/volumes", "/cron", "/secrets", "/configs", "/images/refs"})
    TRY(remove_dir_of(places.data + dir, name));
  for (const char* dir : {"/guests", "/cron", "/contents", "/standstills", "/apply", "/monitors"})
    TRY(remove_dir_of(places.run + dir, name));
  if (disk != nullptr) TRY(disk->forget(disk_places(places, tenant)));
  return {};
}

}  // namespace

Result<ChangedTenant> create_tenant(const Places& places, const TenantRequest& request,
                                    const Host& host) {
  TRY(need_root(host));
  Tenant tenant;
  tenant.name = request.name;
  tenant.created = now_text();
  std::vector<std::string> warnings = TRY(settle(request, places, host, tenant));
  const tenants::LockedStore locked = TRY(tenants::LockedStore::open(tenant_store(places)));
  if (locked.store().find(tenant.name)) return locked.add(tenant).error();  // taken: said by it
  TRY(sweep_half_made(places, locked));
  TRY(give_ids(places, locked, tenant));
  if (tenant.budget.disk == 0 && !request.disk_backend.empty() && request.disk_backend != "auto")
    return Error(Code::kInvalid, "--disk-backend without --disk: there is no budget to hold");
  if (tenant.budget.disk != 0) {
    TRY(make_disk_of(places, locked, request.disk_backend, tenant));
    warnings.push_back("disk: " + tenants::disk_words(tenant.disk, tenant.disk_id, tenant.disk_on));
  }
  TRY(limit_networks(places, tenant, host));
  TRY(locked.add(tenant));
  return ChangedTenant{std::move(tenant), std::move(warnings)};
}

Result<ChangedTenant> update_tenant(const Places& places, const TenantRequest& request,
                                    const Host& host) {
  TRY(need_root(host));
  TRY(find_own(places, request.name, "changed"));
  const tenants::LockedStore locked = TRY(tenants::LockedStore::open(tenant_store(places)));
  TRY(sweep_half_made(places, locked));
  const Tenant before = TRY(locked.store().find(request.name));
  TRY(keeps_disk(before, request.disk_backend));
  Tenant now = before;
  std::vector<std::string> warnings = TRY(settle(request, places, host, now));
  TRY(give_ids(places, locked, now));
  TRY(change_disk(places, before, now));
  TRY(apply(places, before, now, host));
  if (Result<void> limited = limit_networks(places, now, host); !limited) {
    static_cast<void>(apply(places, now, before, host));
    return std::move(limited).error();
  }
  TRY(locked.save(now));
  return ChangedTenant{std::move(now), std::move(warnings)};
}

Result<TenantState> look_at_tenant(const Places& places, const Tenant& tenant, const Host& host) {
  TenantState state;
  const Result<void> opened = host.rootless() ? Result<void>() : open_disk_of(places, tenant);
  state.no_disk = !opened;
  if (!opened) log::warning("tenant " + tenant.name + ": its disk: " + opened.error().text());
  const Guests guests = TRY(Guests::open(places, tenant.name, host));
  for (const Guest& guest : opened ? TRY(guests.list()) : std::vector<Guest>()) {
    ++state.guests;
    state.running += guest.runs() ? 1U : 0U;
  }
  const Result<tenants::TenantGroup> group =
      tenants::TenantGroup::find(places.run, tenant.name, host);
  if (!group) return state;
  state.frozen = TRY(group->is_frozen());
  state.processes = TRY(group->process_count());
  return state;
}

Result<void> freeze_tenant(const Places& places, const std::string& name, bool frozen,
                           const Host& host) {
  TRY(need_root(host));
  const Tenant tenant = TRY(find_own(places, name, frozen ? "frozen" : "thawed"));
  return TRY(tenant_group(places, tenant, host)).freeze(frozen);
}

Result<int> stop_tenant(const Places& places, const std::string& name,
                        std::optional<std::int64_t> timeout_ms, const Host& host,
                        const OnGuestError& on_error) {
  TRY(need_root(host));
  const Tenant tenant = TRY(tenant_store(places).find(name));
  const Guests guests = TRY(open_tenant(places, name, host));
  const std::vector<Guest> running = TRY(running_guests(guests));
  want_stopped(guests, running);
  if (!tenant.is_default()) {
    const tenants::TenantGroup group = TRY(tenant_group(places, tenant, host));
    // A frozen guest takes no stop signal, but dies of SIGKILL.
    if (timeout_ms != 0 && TRY(group.is_frozen())) TRY(group.freeze(false));
    if (timeout_ms == 0) TRY(group.kill_guests());
  }
  int failed = 0;
  for (const auto& [pid, guest] : start_stops(guests, running, timeout_ms, on_error)) {
    int status = 1;
    if (pid > 0) ::waitpid(pid, &status, 0);
    failed += status != 0 ? 1 : 0;
  }
  return failed;
}

Result<void> remove_tenant(const Places& places, const std::string& name, bool force,
                           const Host& host) {
  TRY(need_root(host));
  TRY(find_own(places, name, "removed"));
  const tenants::LockedStore locked = TRY(tenants::LockedStore::open(tenant_store(places)));
  TRY(sweep_half_made(places, locked));
  const Tenant tenant = TRY(locked.store().find(name));
  const Fd nobody_new = TRY(tenants::lock_admission(locked.store(), name));
  TRY(open_disk_of(places, tenant));
  const Guests guests = TRY(Guests::open(places, name, host));
  const images::Store store = TRY(images::Store::open(places.data));
  const std::vector<std::string> has = TRY(belongings(places, guests, store));
  if (!has.empty() && !force) {
    return Error(Code::kState, "tenant " + quote(name) + " has " + join(has, ", "))
        .hint("--force removes them with it");
  }
  if (!tenant.disk.empty()) {
    const tenants::DiskBackend* const disk = TRY(tenants::disk_backend(tenant.disk));
    TRY(disk->loosen(disk_places(places, tenant), tenant.budget.disk));
  }
  TRY(remove_belongings(places, tenant, guests, store));
  const Result<tenants::TenantGroup> group = tenants::TenantGroup::find(places.run, name, host);
  if (group) TRY(group->destroy());
  tenants::IdBook book = TRY(tenants::read_id_book(locked.store().dir()));
  tenants::retire_blocks(book, name, now_text());
  TRY(tenants::save_id_book(locked.store().dir(), book));
  return locked.remove(tenant);
}

}  // namespace vrun::engine
