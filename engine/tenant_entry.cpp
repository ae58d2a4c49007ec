#include "engine/tenant_entry.hpp"

#include <algorithm>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/capability.hpp"
#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/parents.hpp"
#include "engine/guest_setup.hpp"
#include "engine/micro_vm.hpp"
#include "images/catalog.hpp"
#include "images/charge.hpp"
#include "images/store.hpp"
#include "tenants/id_blocks.hpp"

namespace vrun::engine {
namespace {

std::string sysfs_of(std::uint64_t major, std::uint64_t minor) {
  return "/sys/dev/block/" + std::to_string(major) + ":" + std::to_string(minor);
}

Result<std::size_t> count_guests(const Guests& guests) {
  const std::string path = guests.places().guests(guests.tenant());
  const Result<Fd> dir = sys::open_dir(At::cwd(), path);
  if (!dir && dir.error().code() == Code::kNotFound) return std::size_t{0};
  if (!dir) return Error(dir.error().code(), dir.error().text());
  const std::vector<std::string> names = TRY(sys::list_dir(dir->get()));
  return static_cast<std::size_t>(std::count_if(
      names.begin(), names.end(), [](const std::string& name) { return !name.starts_with('.'); }));
}

// Of micro-VMs, that run or not; the one with the id `but` is left out.
Result<void> check_processors(const Guests& guests, const tenants::Tenant& tenant,
                              const RunRequest& request, const std::string& but) {
  const std::uint64_t most = tenant.budget.max_vcpus;
  if (most == 0 || !is_micro_vm(request)) return {};
  const std::uint64_t asked = TRY(processors_of(request));
  std::uint64_t used = 0;
  for (const Guest& guest : TRY(guests.list())) {
    if (is_micro_vm(guest.record.request) && guest.record.id != but)
      used += TRY(processors_of(guest.record.request));
  }
  if (used + asked <= most) return {};
  return Error(Code::kState,
               "tenant " + quote(tenant.name) + " may have " + std::to_string(most) +
                   " processors in its micro-VMs (max-vcpus): " + std::to_string(used) +
                   " are there, and this one asks for " + std::to_string(asked))
      .hint("fewer --cpus, remove another, or let root raise it: vrun tenant update " +
            tenant.name + " --max-vcpus NUMBER");
}

// A space of several blocks: what lies between them is somebody else's.
IdSpace space_of(std::vector<tenants::IdBlock> blocks) {
  IdSpace space;
  std::sort(blocks.begin(), blocks.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  space.first = blocks.front().first;
  space.end = space.first;
  for (const tenants::IdBlock& block : blocks) {
    if (block.first > space.end) space.taken.push_back({space.end, block.first});
    space.end = block.first + block.count;
  }
  return space;
}

// With CAP_SYS_RESOURCE ext4 lets root write past any quota. Programs that are started have it
// again.
Result<void> obey_quotas(const tenants::Tenant& tenant) {
  if (!tenant.disk.empty()) TRY(sys::set_capability(CAP_SYS_RESOURCE, false));
  return {};
}

}  // namespace

tenants::Store tenant_store(const Places& places) {
  return tenants::Store(places.data);
}

tenants::Budget enforced_budget(const tenants::Tenant& tenant) {
  tenants::Budget budget = tenant.budget;
  json::Faults none("budget");
  std::vector<tenants::FlagText> lifted;
  for (const std::string& flag : tenant.unenforced)
    lifted.push_back({flag, "none"});
  tenants::read_budget(lifted, budget, none);
  return budget;
}

// io.max wants a whole disk; a filesystem on a partition is limited with its disk.
std::optional<tenants::Disk> disk_of(const Places& places) {
  std::string dir = places.data;
  Result<struct stat> st = sys::stat(At::cwd(), dir);
  while (!st && dir != "/") {  // not made yet: it will be where its parent is
    dir = fs::dir_name(dir);
    st = sys::stat(At::cwd(), dir);
  }
  if (!st || major(st->st_dev) == 0) return std::nullopt;
  tenants::Disk disk{major(st->st_dev), minor(st->st_dev)};
  const std::string device = sysfs_of(major(st->st_dev), minor(st->st_dev));
  if (!sys::stat(At::cwd(), device + "/partition")) return disk;
  const Result<std::string> text = fs::read_file(At::cwd(), device + "/../dev", 64);
  if (!text) return std::nullopt;
  const auto numbers = split(trim(*text), ':');
  const auto whole_major = parse_i64(numbers[0]);
  const auto whole_minor = parse_i64(numbers.size() == 2 ? numbers[1] : "");
  if (!whole_major || !whole_minor) return std::nullopt;
  return tenants::Disk{*whole_major, *whole_minor};
}

oci::Resources limits_of(const tenants::Budget& budget, const tenants::Budget& before,
                         const Places& places) {
  oci::Resources limits = tenants::to_resources(budget, before, disk_of(places));
  if (!budget.cpuset_cpus.empty() || before.cpuset_cpus.empty()) return limits;
  // Lifted: all that there are. The kernel has no word for that in a list that was written.
  constexpr std::size_t kMostBytes = 4096;
  const auto online = fs::read_file(At::cwd(), "/sys/devices/system/cpu/online", kMostBytes);
  if (!online) return limits;
  if (!limits.cpu) limits.cpu.emplace();
  limits.cpu->cpus = trim(*online);
  return limits;
}

Result<tenants::TenantGroup> tenant_group(const Places& places, const tenants::Tenant& tenant,
                                          const Host& host) {
  const tenants::Budget budget = enforced_budget(tenant);
  return tenants::TenantGroup::ensure(places.run, tenant.name, limits_of(budget, budget, places),
                                      host);
}

tenants::DiskPlaces disk_places(const Places& places, const tenants::Tenant& tenant) {
  return tenants::DiskPlaces::of(places.data, tenant.name, tenant.disk_id);
}

Result<void> open_disk_of(const Places& places, const tenants::Tenant& tenant) {
  if (tenant.disk.empty()) return {};
  return TRY(tenants::disk_backend(tenant.disk))
      ->open(disk_places(places, tenant), tenant.budget.disk, noted_images(places, tenant));
}

std::uint64_t noted_images(const Places& places, const tenants::Tenant& tenant) {
  return tenant.disk.empty() ? 0 : images::noted_charge(places.data, tenant.name);
}

Result<std::uint64_t> image_charge(const Places& places, const tenants::Tenant& tenant) {
  const images::Store store = TRY(images::Store::open(places.data));
  const Fd in_use = TRY(store.use());
  const std::vector<images::Image> shipped = TRY(images::Catalog(places.images).shipped());
  // A note that cannot be written is one of the full disk; the sum is right.
  Result<std::uint64_t> noted = images::note_charge(store, tenant.name, shipped);
  return noted ? std::move(noted) : images::charged(store, tenant.name, shipped);
}

Result<void> settle_disk(const Guests& guests) {
  if (guests.tenant() == kDefaultTenant || guests.host().rootless()) return {};
  return open_disk_of(guests.places(), TRY(tenant_store(guests.places()).find(guests.tenant())));
}

Result<std::int64_t> image_limit(const Places& places, const std::string& tenant,
                                 const Host& host) {
  if (tenant == kDefaultTenant || host.rootless()) return std::int64_t{-1};
  const tenants::Tenant found = TRY(tenant_store(places).find(tenant));
  if (found.disk.empty()) return std::int64_t{-1};
  TRY(open_disk_of(places, found));
  const tenants::DiskUse use = TRY(disk_use(places, found, host));
  return static_cast<std::int64_t>(tenants::without(found.budget.disk, use.bytes));
}

Result<tenants::DiskUse> disk_use(const Places& places, const tenants::Tenant& tenant,
                                  const Host& host) {
  if (tenant.disk.empty() || host.rootless())
    return Error(Code::kUnsupported, "nothing measures the disk of " + quote(tenant.name));
  return TRY(tenants::disk_backend(tenant.disk))->use(disk_places(places, tenant));
}

Result<Guests> open_tenant(const Places& places, const std::string& tenant, const Host& host) {
  if (tenant == kDefaultTenant) return Guests::open(places, tenant, host);
  const tenants::Tenant found = TRY(tenant_store(places).find(tenant));
  if (!host.rootless()) {
    TRY(open_disk_of(places, found));
    TRY(obey_quotas(found));
    TRY(tenant_group(places, found, host));
  }
  return Guests::open(places, tenant, host);
}

Result<void> enter_tenant(const Guests& guests) {
  if (guests.tenant() == kDefaultTenant) return {};
  const tenants::Tenant tenant = TRY(tenant_store(guests.places()).find(guests.tenant()));
  const tenants::TenantGroup group = TRY(tenant_group(guests.places(), tenant, guests.host()));
  if (TRY(group.is_frozen())) {
    return Error(Code::kState, "tenant " + quote(tenant.name) + " is frozen")
        .hint("`vrun tenant thaw " + tenant.name + "` lets its guests go on");
  }
  TRY(obey_quotas(tenant));
  return group.join(sys::self());
}

Result<void> join_tenant(const Guests& guests) {
  if (guests.tenant() == kDefaultTenant) return {};
  const tenants::Tenant tenant = TRY(tenant_store(guests.places()).find(guests.tenant()));
  return TRY(tenant_group(guests.places(), tenant, guests.host())).join(sys::self());
}

void fit_quota(oci::Resources& resources, std::uint64_t cpu_milli, const Host& host) {
  if (cpu_milli == 0 || !resources.cpu || resources.cpu->quota.value_or(0) <= 0) return;
  if (!cgroups::quota_must_fit_parent(host)) return;
  const std::uint64_t period = resources.cpu->period.value_or(100'000);
  const auto most = static_cast<std::int64_t>(cpu_milli * period / 1000);
  resources.cpu->quota = std::min(*resources.cpu->quota, most);
}

Result<bool> is_frozen(const Guests& guests) {
  const Result<tenants::TenantGroup> group =
      tenants::TenantGroup::find(guests.places().run, guests.tenant(), guests.host());
  return group ? group->is_frozen() : false;
}

Result<Fd> admit_guest(const Guests& guests, const RunRequest& request) {
  if (guests.tenant() == kDefaultTenant) return Fd();
  const tenants::Store store = tenant_store(guests.places());
  Fd lock = TRY(tenants::lock_admission(store, guests.tenant()));
  const tenants::Tenant tenant = TRY(store.find(guests.tenant()));  // as it is under the lock
  TRY(check_processors(guests, tenant, request, ""));
  const std::uint64_t most = tenant.budget.max_guests;
  if (most == 0 || TRY(count_guests(guests)) < most) return lock;
  return Error(Code::kState, "tenant " + quote(tenant.name) + " has " + std::to_string(most) +
                                 " guests already, and may have no more (max-guests)")
      .hint("remove one, or let root raise it: vrun tenant update " + tenant.name +
            " --max-guests NUMBER");
}

Result<Fd> admit_change(const Guests& guests, const GuestRecord& record, const RunRequest& wanted) {
  if (guests.tenant() == kDefaultTenant) return Fd();
  const tenants::Store store = tenant_store(guests.places());
  Fd lock = TRY(tenants::lock_admission(store, guests.tenant()));
  const tenants::Tenant tenant = TRY(store.find(guests.tenant()));
  TRY(check_processors(guests, tenant, wanted, record.id));
  return lock;
}

Result<IdSpace> id_space_of(const Guests& guests) {
  const tenants::Store store = tenant_store(guests.places());
  if (guests.tenant() != kDefaultTenant) {
    const tenants::Tenant tenant = TRY(store.find(guests.tenant()));
    if (!tenant.ids.empty()) return space_of(tenant.ids);
    return Error(Code::kInternal, "tenant " + quote(tenant.name) + " has no ids");
  }
  IdSpace space = id_space();
  for (const tenants::GivenBlock& block : TRY(tenants::read_id_book(store.dir())).blocks)
    space.taken.push_back({block.first, block.first + block.count});
  return space;
}

}  // namespace vrun::engine
