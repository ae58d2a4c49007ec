// The Tenant of a manifest: the one in which its other objects are made.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "engine/apply_plan.hpp"
#include "engine/places.hpp"
#include "engine/tenant_admin.hpp"
#include "manifest/wire.hpp"

namespace vrun::engine {

struct WantedTenant {
  std::string manifest, name, spec;
};

// None where the manifest has none; kInvalid for more than one.
Result<std::optional<WantedTenant>> find_tenant(const std::string& manifest,
                                                const std::vector<manifest::WireObject>& objects);

// What is to be done for it, field by field: kCreate, kChange or kNone. kExists for a tenant that
// the manifest did not make.
Result<PlanStep> plan_tenant(const Places& places, const WantedTenant& wanted);

// Makes or changes it; the warnings of what this host cannot enforce cannot come up: such limits
// are refused.
Result<void> apply_tenant(const Places& places, const WantedTenant& wanted, const PlanStep& step,
                          const Host& host);

// The tenant that a manifest of this name made; none: it made none.
Result<std::optional<std::string>> tenant_of_manifest(const Places& places,
                                                      const std::string& manifest);

// The flags of `tenant create` and `update` that a spec stands for. `before`: the spec applied
// last, whose fields that are gone are lifted.
TenantRequest tenant_request(const WantedTenant& wanted, const std::string& before);

}  // namespace vrun::engine
