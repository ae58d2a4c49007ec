#include "engine/apply_tenant.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>

#include "base/json.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "engine/apply_wanted.hpp"
#include "tenants/store.hpp"

namespace vrun::engine {
namespace {

// A field of the manifest and the flag that it is.
struct Word {
  std::string_view field, flag;
};
constexpr std::array kBudget{
    Word{"cpus", "cpus"},           Word{"cpuWeight", "cpu-weight"},
    Word{"memory", "memory"},       Word{"swap", "swap"},
    Word{"pids", "pids"},           Word{"ioRead", "io-read"},
    Word{"ioWrite", "io-write"},    Word{"disk", "disk"},
    Word{"bandwidth", "bandwidth"}, Word{"maxGuests", "max-guests"},
    Word{"maxVcpus", "max-vcpus"},  Word{"cpusetCpus", "cpuset-cpus"},
};
constexpr std::array kLists{
    Word{"policy.capabilities", "allow-cap"},   Word{"policy.mounts", "allow-mount"},
    Word{"policy.devices", "allow-device"},     Word{"policy.hostNamespaces", "allow-host"},
    Word{"policy.sysctls", "allow-sysctl"},     Word{"policy.ports", "allow-port"},
    Word{"policy.addresses", "only-address"},   Word{"policy.unsafe", "allow-unsafe"},
    Word{"policy.registries", "only-registry"}, Word{"policy.networks", "only-network"},
};
constexpr std::array kTexts{
    Word{"policy.guestMemory", "guest-memory"},   Word{"policy.guestCpus", "guest-cpus"},
    Word{"policy.guestPids", "guest-pids"},       Word{"policy.requireVm", "require-vm"},
    Word{"policy.forbidSystem", "forbid-system"},
};

using Values = std::map<std::string, std::string>;

std::vector<std::string> list_of(const Values& values, std::string_view field) {
  std::vector<std::string> found;
  for (const auto& [path, value] : values) {
    if (path.starts_with(field) && path.substr(field.size()).starts_with('['))
      found.push_back(value);
  }
  return found;
}

// What lifts a value that is no longer there.
std::string_view lifted(std::string_view flag) {
  return flag == "require-vm" || flag == "forbid-system" ? "false" : "none";
}

void add_values(std::span<const Word> words, const Values& now, const Values& before,
                std::vector<tenants::FlagText>& out) {
  for (const Word& word : words) {
    const std::string field(word.field);
    const auto found = now.find(field);
    if (found != now.end())
      out.push_back({std::string(word.flag), found->second});
    else if (before.contains(field))
      out.push_back({std::string(word.flag), std::string(lifted(word.flag))});
  }
}

// A list is given whole: first emptied, where it had something.
void add_lists(const Values& now, const Values& before, std::vector<tenants::FlagText>& out) {
  for (const Word& word : kLists) {
    if (!list_of(before, word.field).empty()) out.push_back({std::string(word.flag), "none"});
    for (const std::string& one : list_of(now, word.field))
      out.push_back({std::string(word.flag), one});
  }
}

std::vector<std::string> reasons_of(const Values& before, const Values& now) {
  std::vector<std::string> reasons;
  for (const auto& [path, value] : now) {
    const auto old = before.find(path);
    if (old == before.end())
      reasons.push_back(path + ": set to " + quote(value));
    else if (old->second != value)
      reasons.push_back(path + ": " + quote(old->second) + " -> " + quote(value));
  }
  for (const auto& [path, value] : before) {
    if (!now.contains(path)) reasons.push_back(path + ": no longer " + quote(value));
  }
  return reasons;
}

}  // namespace

Result<std::optional<WantedTenant>> find_tenant(const std::string& manifest,
                                                const std::vector<manifest::WireObject>& objects) {
  std::optional<WantedTenant> found;
  for (const manifest::WireObject& object : objects) {
    if (object.kind != "Tenant") continue;
    if (found) {
      return Error(Code::kInvalid, object.place + ": Tenant " + object.name +
                                       ": a manifest has one tenant, and this one has " +
                                       found->name)
          .hint("describe each tenant in a file of its own");
    }
    found = WantedTenant{manifest, object.name, object.spec};
  }
  return found;
}

Result<PlanStep> plan_tenant(const Places& places, const WantedTenant& wanted) {
  PlanStep step{.act = Act::kCreate, .kind = "Tenant", .name = wanted.name, .reasons = {}};
  if (wanted.name == kDefaultTenant)
    return Error(Code::kInvalid, "Tenant default: it is always there and has no limits");
  const Result<tenants::Tenant> there = tenants::Store(places.data).find(wanted.name);
  if (!there && there.error().code() == Code::kNotFound) return step;
  if (!there) return Error(there.error().code(), there.error().text());
  if (there->manifest != wanted.manifest) {
    return Error(Code::kExists,
                 "Tenant " + wanted.name + " is there already and " +
                     (there->manifest.empty() ? "was not made by a manifest"
                                              : "belongs to manifest " + quote(there->manifest)));
  }
  step.reasons = reasons_of(flat(there->applied), flat(wanted.spec));
  step.act = step.reasons.empty() ? Act::kNone : Act::kChange;
  return step;
}

TenantRequest tenant_request(const WantedTenant& wanted, const std::string& before) {
  const Values now = flat(wanted.spec);
  const Values old = before.empty() ? Values() : flat(before);
  TenantRequest request;
  request.name = wanted.name;
  add_values(kBudget, now, old, request.budget);
  add_lists(now, old, request.policy);
  add_values(kTexts, now, old, request.policy);
  request.admins = list_of(now, "admins");
  for (const std::string& admin : list_of(old, "admins")) {
    if (std::find(request.admins.begin(), request.admins.end(), admin) == request.admins.end())
      request.removed_admins.push_back(admin);
  }
  if (const auto backend = now.find("diskBackend"); backend != now.end())
    request.disk_backend = backend->second;
  request.manifest = wanted.manifest;
  request.applied = wanted.spec;
  return request;
}

Result<void> apply_tenant(const Places& places, const WantedTenant& wanted, const PlanStep& step,
                          const Host& host) {
  if (step.act == Act::kNone) return {};
  if (step.act == Act::kCreate) {
    const ChangedTenant made = TRY(create_tenant(places, tenant_request(wanted, {}), host));
    for (const std::string& word : made.warnings)
      log::warning("tenant " + wanted.name + ": " + word);
    return {};
  }
  const tenants::Tenant there = TRY(tenants::Store(places.data).find(wanted.name));
  TRY(update_tenant(places, tenant_request(wanted, there.applied), host));
  return {};
}

Result<std::optional<std::string>> tenant_of_manifest(const Places& places,
                                                      const std::string& manifest) {
  for (const tenants::Tenant& tenant : TRY(tenants::Store(places.data).list())) {
    if (!tenant.manifest.empty() && tenant.manifest == manifest) return std::optional(tenant.name);
  }
  return std::optional<std::string>();
}

}  // namespace vrun::engine
