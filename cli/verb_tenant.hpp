// The verbs of tenants: create, show, ls, update, usage, top, freeze, thaw, stop, rm, and metrics.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/run.hpp"
#include "engine/tenant_admin.hpp"

namespace vrun::cli {

bool is_tenant_verb(std::string_view verb);
Result<int> everyday_tenant(std::string_view verb, const EverydayCall& call);
// "frozen", "active" (something of it runs) or "idle".
const char* state_word(const engine::TenantState& state);

// ---- verb_tenant_usage.cpp ----
Result<int> tenant_usage(const EverydayCall& call);
Result<int> tenant_top(const EverydayCall& call);
Result<int> tenant_metrics(const EverydayCall& call);

// Unknown: an error with the nearest name. What the broker runs is about its tenant alone.
Result<void> check_tenant(const EverydayCall& call);

// Whom a user without root would have to manage for this call: the tenant of the call, or the one
// that `tenant show NAME` and its like name.
std::string brokered_tenant(std::string_view verb, const EverydayCall& call);

// A line of the audit log, for calls that change something. `typed`: behind the verb.
void note_call(std::string_view verb, const EverydayCall& call,
               const std::vector<std::string>& typed, int code);

}  // namespace vrun::cli
