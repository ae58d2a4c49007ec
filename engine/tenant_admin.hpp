// Making, changing, stopping and removing tenants: the use cases of `vrun tenant`. All of them need
// root.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "engine/places.hpp"
#include "tenants/record.hpp"

namespace vrun::engine {

// As it was asked for; nothing is checked yet.
struct TenantRequest {
  std::string name;
  std::vector<tenants::FlagText> budget, policy;
  std::vector<std::string> admins, removed_admins;
  std::string disk_backend;  // auto (or empty), project, btrfs or loop; of a new tenant only
  // What this host cannot enforce is kept in the record and said, instead of refused.
  bool best_effort = false;
  // Of a manifest: kept in the record as they are.
  std::string manifest, applied;
};

struct ChangedTenant {
  tenants::Tenant tenant;
  std::vector<std::string> warnings;  // what is not enforced, and why
};
// All faults of a request at once. kExists when the name is taken.
Result<ChangedTenant> create_tenant(const Places& places, const TenantRequest& request,
                                    const Host& host);
// Live: guests that run feel it at once. Nothing is changed when a limit cannot be set.
Result<ChangedTenant> update_tenant(const Places& places, const TenantRequest& request,
                                    const Host& host);

struct TenantState {
  std::size_t guests = 0, running = 0, processes = 0;
  bool frozen = false;
  bool no_disk = false;  // its disk cannot be opened now: its guests are not known
};
// A disk that cannot be opened (the host's is full) is a warning: the rest is told all the same.
Result<TenantState> look_at_tenant(const Places& places, const tenants::Tenant& tenant,
                                   const Host& host);

Result<void> freeze_tenant(const Places& places, const std::string& name, bool frozen,
                           const Host& host);

// Stops all its guests at once; each gets its own stop signal and `timeout_ms` (absent: its own
// time). With 0 they are killed, by one write. Answers how many would not stop; `on_error` says
// why.
using OnGuestError = std::function<void(const std::string& guest, const Error& error)>;
Result<int> stop_tenant(const Places& places, const std::string& name,
                        std::optional<std::int64_t> timeout_ms, const Host& host,
                        const OnGuestError& on_error);

// kState while it has guests, networks or images, unless `force`: then they go, too.
Result<void> remove_tenant(const Places& places, const std::string& name, bool force,
                           const Host& host);

}  // namespace vrun::engine
