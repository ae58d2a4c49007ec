// What a tenant means for its guests: where their group is, whose ids they get, whether there may
// be one more. For the tenant `default` all of it is nothing: no group of its own, no limits.
#pragma once

#include <optional>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/id_ranges.hpp"
#include "engine/places.hpp"
#include "tenants/disk.hpp"
#include "tenants/group.hpp"
#include "tenants/record.hpp"
#include "tenants/store.hpp"

namespace vrun::engine {

tenants::Store tenant_store(const Places& places);

// The budget without what this host cannot enforce, and as limits of a group.
tenants::Budget enforced_budget(const tenants::Tenant& tenant);
oci::Resources limits_of(const tenants::Budget& budget, const tenants::Budget& before,
                         const Places& places);
// The disk that carries vrun's data; none where no single one does.
std::optional<tenants::Disk> disk_of(const Places& places);

// What holds its disk budget, if it has one: there and ready when this has answered.
tenants::DiskPlaces disk_places(const Places& places, const tenants::Tenant& tenant);
Result<void> open_disk_of(const Places& places, const tenants::Tenant& tenant);
// What the tenant's images count for in it, as noted at their last change; exact with root's
// `image_charge`, which adds up.
std::uint64_t noted_images(const Places& places, const tenants::Tenant& tenant);
Result<std::uint64_t> image_charge(const Places& places, const tenants::Tenant& tenant);
// After images were brought: what is left for the trees.
Result<void> settle_disk(const Guests& guests);
// How much images of the tenant may be charged for in all now; -1 where nothing limits them.
Result<std::int64_t> image_limit(const Places& places, const std::string& tenant, const Host& host);
// What counts against it now; kUnsupported where it has none, or who asks may not know.
Result<tenants::DiskUse> disk_use(const Places& places, const tenants::Tenant& tenant,
                                  const Host& host);

// The group with the budget; made when it is not there (the first use after a boot).
Result<tenants::TenantGroup> tenant_group(const Places& places, const tenants::Tenant& tenant,
                                          const Host& host);

// The guests of a tenant for a command that may start some: its group and its disk are there.
// Where it has a disk budget, what this process writes is held, too: CAP_SYS_RESOURCE leaves its
// effective set.
// kNotFound when there is no such tenant.
Result<Guests> open_tenant(const Places& places, const std::string& tenant, const Host& host);

// Before this process works for the tenant: from now on its budget pays. A frozen tenant is kState.
Result<void> enter_tenant(const Guests& guests);

// The same for what belongs to a guest that runs already, also while the tenant is frozen.
Result<void> join_tenant(const Guests& guests);

// The whole tenant stands still (`tenant freeze`).
Result<bool> is_frozen(const Guests& guests);

// Held until the new guest's directory is there; kState when there may be no more.
Result<Fd> admit_guest(const Guests& guests, const RunRequest& request);
// The same for one that is there and changes: held until its record says so.
Result<Fd> admit_change(const Guests& guests, const GuestRecord& record, const RunRequest& wanted);

// The ids that its guests may have.
Result<IdSpace> id_space_of(const Guests& guests);

// A guest may ask for more of the cpu than its tenant has: where the kernel would refuse that, it
// gets what the tenant has (0: no limit).
void fit_quota(oci::Resources& resources, std::uint64_t cpu_milli, const Host& host);

}  // namespace vrun::engine
