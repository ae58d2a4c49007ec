#include "engine/end_memory.hpp"

#include "engine/tenant_entry.hpp"
#include "runtime/container.hpp"
#include "tenants/budget.hpp"

namespace vrun::engine {
namespace {

// Where memory and swap have one limit, the old hierarchy counts what hit it as swap's; and it
// charges in portions, so that the peak may stay a little below.
bool was_full(const cgroups::Stats::MemoryStats& memory) {
  const std::uint64_t limit = memory.limit;
  return memory.failcnt > 0 || (limit != 0 && memory.max_usage >= limit - limit / 16);
}

// The budget of a tenant whose memory was all in use; empty where it never was.
std::string reached_budget(const Guests& guests) {
  if (guests.tenant() == kDefaultTenant) return {};
  const Result<tenants::Tenant> tenant = tenant_store(guests.places()).find(guests.tenant());
  const auto group =
      tenants::TenantGroup::find(guests.places().run, guests.tenant(), guests.host());
  const Result<cgroups::Stats> stats = group ? group->stats() : Error(Code::kNotFound, "no group");
  if (!tenant || !stats || !stats->memory || !was_full(*stats->memory)) return {};
  for (const tenants::BudgetLine& line : tenants::words_of(enforced_budget(*tenant)))
    if (line.name == "memory" && line.value != "none") return line.value;
  return {};
}

}  // namespace

void add_memory_facts(const Guests& guests, const GuestRecord& record, EndFacts& facts) {
  facts.memory_limit = record.request.memory;
  const Result<cgroups::Stats> stats = runtime::final_stats(guests.context(), record.id);
  if (!stats || !stats->memory) return;
  facts.oom_kills = stats->memory->oom_kills;
  const bool own = !facts.memory_limit.empty() && was_full(*stats->memory);
  if (facts.oom_kills == 0 || own) return;
  facts.tenant = guests.tenant();
  facts.tenant_limit = reached_budget(guests);
}

}  // namespace vrun::engine
