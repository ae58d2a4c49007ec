#include "cli/verb_tenant.hpp"

#include <algorithm>
#include <array>

#include <unistd.h>

#include "base/json_writer.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cli/verb_apply.hpp"
#include "engine/export_tenant.hpp"
#include "engine/policies.hpp"
#include "engine/tenant_admin.hpp"
#include "engine/tenant_entry.hpp"
#include "tenants/admins.hpp"
#include "tenants/audit.hpp"

namespace vrun::cli {
namespace {

using engine::TenantState;
using tenants::Tenant;

Result<int> print(const std::string& text) {
  TRY(sys::write_all(STDOUT_FILENO, text));
  return 0;
}

engine::TenantRequest request_of(const EverydayCall& call, bool update) {
  engine::TenantRequest request;
  request.name = call.arguments.word(0);
  for (const std::string_view flag : tenants::budget_flags()) {
    if (call.arguments.has(flag))
      request.budget.push_back({std::string(flag), call.arguments.text(flag)});
  }
  for (const std::string_view flag : tenants::policy_flags()) {
    const bool text = flag.starts_with("guest-") || flag == "require-vm" || flag == "forbid-system";
    if (text && call.arguments.has(flag))
      request.policy.push_back({std::string(flag), call.arguments.text(flag)});
    if (text) continue;
    for (std::string& one : call.arguments.list(flag))
      request.policy.push_back({std::string(flag), std::move(one)});
  }
  request.admins = call.arguments.list("admin");
  if (update) request.removed_admins = call.arguments.list("remove-admin");
  if (!update) request.disk_backend = call.arguments.text("disk-backend");
  request.best_effort = call.arguments.on("best-effort");
  return request;
}

Result<int> say(const engine::ChangedTenant& changed) {
  for (const std::string& warning : changed.warnings)
    log::warning("tenant " + changed.tenant.name + ": " + warning);
  return print(changed.tenant.name + "\n");
}

Result<int> create(const EverydayCall& call) {
  if (call.host.nested() || call.host.rootless()) {
    return Error(Code::kDenied, "tenants need root: budgets and ranges of ids are the machine's")
        .hint("run it with sudo");
  }
  return say(TRY(engine::create_tenant(call.places, request_of(call, false), call.host)));
}

Result<int> update(const EverydayCall& call) {
  return say(TRY(engine::update_tenant(call.places, request_of(call, true), call.host)));
}

bool is_enforced(const Tenant& tenant, const std::string& flag) {
  return std::find(tenant.unenforced.begin(), tenant.unenforced.end(), flag) ==
         tenant.unenforced.end();
}

void write_budget(json::Writer& writer, const Tenant& tenant) {
  const tenants::Budget& budget = tenant.budget;
  const auto number = [&](const char* name, std::uint64_t value) {
    writer.key(name);
    value == 0 ? writer.null() : writer.value(value);
  };
  writer.key("budget").begin_object();
  writer.key("cpus");
  budget.cpu_milli == 0 ? writer.null()
                        : writer.value(static_cast<double>(budget.cpu_milli) / 1000.0);
  number("cpuWeight", budget.cpu_weight);
  number("memory", budget.memory);
  writer.key("swap");
  budget.swap ? writer.value(*budget.swap) : writer.null();
  number("pids", budget.pids);
  number("ioRead", budget.io_read);
  number("ioWrite", budget.io_write);
  number("disk", budget.disk);
  number("bandwidth", budget.bandwidth);
  number("maxGuests", budget.max_guests);
  number("maxVcpus", budget.max_vcpus);
  writer.key("cpusetCpus");
  budget.cpuset_cpus.empty() ? writer.null() : writer.value(std::string_view(budget.cpuset_cpus));
  writer.end_object();
  writer.member("unenforced", std::span<const std::string>(tenant.unenforced));
}

void write_policy(json::Writer& writer, const tenants::Policy& policy) {
  writer.key("policy").begin_object();
  const auto list = [&](const char* name, const std::vector<std::string>& names) {
    writer.member(name, std::span<const std::string>(names));
  };
  list("capabilities", policy.capabilities);
  list("mounts", policy.mounts);
  list("devices", policy.devices);
  list("hostNamespaces", policy.namespaces);
  list("sysctls", policy.sysctls);
  list("registries", policy.registries);
  list("networks", policy.networks);
  list("ports", policy.ports);
  list("addresses", policy.addresses);
  list("unsafe", policy.unsafe);
  writer.member("vmRequired", policy.vm_required);
  writer.member("systemForbidden", policy.system_forbidden);
  writer.end_object();
}

void write_disk(json::Writer& writer, const EverydayCall& call, const Tenant& tenant) {
  if (tenant.disk.empty()) return;
  writer.key("disk").begin_object();
  writer.member("backend", std::string_view(tenant.disk));
  if (tenant.disk_id != 0) writer.member("id", tenant.disk_id);
  if (const auto use = engine::disk_use(call.places, tenant, call.host); use) {
    writer.member("used", use->bytes);
    if (use->inodes != 0) writer.member("inodes", use->inodes);
    if (const auto images = engine::image_charge(call.places, tenant); images)
      writer.member("images", *images);
  }
  writer.end_object();
}

void write_tenant(json::Writer& writer, const EverydayCall& call, const Tenant& tenant,
                  const TenantState& state) {
  writer.begin_object();
  writer.member("name", std::string_view(tenant.name));
  if (!tenant.created.empty()) writer.member("created", std::string_view(tenant.created));
  writer.member("state", std::string_view(state_word(state)));
  writer.member("guests", static_cast<std::uint64_t>(state.guests));
  writer.member("running", static_cast<std::uint64_t>(state.running));
  writer.member("processes", static_cast<std::uint64_t>(state.processes));
  write_budget(writer, tenant);
  write_disk(writer, call, tenant);
  writer.member("admins", std::span<const std::string>(tenant.admins));
  write_policy(writer, tenant.policy);
  writer.key("ids").begin_array();
  for (const tenants::IdBlock& block : tenant.ids)
    writer.begin_object().member("first", block.first).member("count", block.count).end_object();
  writer.end_array();
  writer.end_object();
}

// "project quota 2000001007 of ext4, 1.0GiB in use"
std::string disk_text(const EverydayCall& call, const Tenant& tenant) {
  const std::string words = tenants::disk_words(tenant.disk, tenant.disk_id, tenant.disk_on);
  const auto use = engine::disk_use(call.places, tenant, call.host);
  const auto images = engine::image_charge(call.places, tenant);
  if (!use || !images) return words;
  return words + ", " + binary_size(use->bytes + *images) + " in use, " + binary_size(*images) +
         " of it by images";
}

std::string show_words(const EverydayCall& call, const Tenant& tenant, const TenantState& state) {
  std::string out = "tenant " + tenant.name + " (" + state_word(state) + ")\n";
  const auto line = [&](std::string name, const std::string& value) {
    name.resize(std::max<std::size_t>(14, name.size() + 1), ' ');
    out += "  " + name + printable(value) + "\n";
  };
  if (!tenant.created.empty()) line("created", tenant.created);
  line("guests", std::to_string(state.guests) + ", " + std::to_string(state.running) + " running");
  for (const tenants::BudgetLine& one : tenants::words_of(tenant.budget))
    line(one.name,
         one.value + (is_enforced(tenant, one.name) ? "" : " (not enforced on this host)"));
  if (!tenant.is_default() && tenants::words_of(tenant.policy).empty()) line("policy", "strict");
  for (const tenants::BudgetLine& one : tenants::words_of(tenant.policy))
    line(one.name, one.value);
  line("admins", tenant.admins.empty() ? "root only" : join(tenant.admins, ", "));
  if (!tenant.disk.empty()) line("disk kind", disk_text(call, tenant));
  for (const tenants::IdBlock& block : tenant.ids)
    line("ids",
         std::to_string(block.first) + " to " + std::to_string(block.first + block.count - 1));
  return out;
}

Result<int> show(const EverydayCall& call) {
  const Form form = TRY(form_of(call.arguments));
  json::Writer writer(json::Style::kSpaces);
  writer.begin_array();
  std::string words;
  for (std::size_t i = 0; i < call.arguments.words().size(); ++i) {
    const Tenant tenant = TRY(engine::tenant_store(call.places).find(call.arguments.word(i)));
    const TenantState state = TRY(engine::look_at_tenant(call.places, tenant, call.host));
    write_tenant(writer, call, tenant, state);
    words += show_words(call, tenant, state);
  }
  writer.end_array();
  if (form == Form::kTable) return print(words);
  return print(TRY(document(form, writer.take())));
}

Result<int> list(const EverydayCall& call) {
  const Form form = TRY(form_of(call.arguments));
  const std::vector<Tenant> all = TRY(engine::tenant_store(call.places).list());
  if (call.arguments.on("quiet")) {
    std::string names;
    for (const Tenant& tenant : all)
      names += tenant.name + "\n";
    return print(names);
  }
  json::Writer writer(json::Style::kSpaces);
  writer.begin_array();
  std::vector<std::vector<std::string>> rows{
      {"NAME", "STATE", "GUESTS", "CPUS", "MEMORY", "PIDS", "ADMINS"}};
  for (const Tenant& tenant : all) {
    const TenantState state = TRY(engine::look_at_tenant(call.places, tenant, call.host));
    write_tenant(writer, call, tenant, state);
    const std::vector<tenants::BudgetLine> budget = tenants::words_of(tenant.budget);
    const auto value = [&](std::string_view name) {
      return std::find_if(budget.begin(), budget.end(),
                          [&](const auto& one) { return one.name == name; })
          ->value;
    };
    rows.push_back({tenant.name, state_word(state),
                    std::to_string(state.running) + "/" + std::to_string(state.guests),
                    value("cpus"), value("memory"), value("pids"),
                    tenant.admins.empty() ? "-" : join(tenant.admins, ", ")});
  }
  writer.end_array();
  if (form == Form::kTable) return print(table(rows));
  return print(TRY(document(form, writer.take())));
}

Result<int> export_all(const EverydayCall& call) {
  const std::string& name = call.arguments.word(0);
  const Tenant tenant = TRY(engine::tenant_store(call.places).find(name));
  const engine::Guests guests = TRY(engine::open_tenant(call.places, name, call.host));
  return print_manifest(TRY(engine::export_tenant(guests, tenant)), call.arguments.text("output"));
}

Result<int> freeze(const EverydayCall& call) {
  TRY(engine::freeze_tenant(call.places, call.arguments.word(0), true, call.host));
  return print(call.arguments.word(0) + "\n");
}

Result<int> thaw(const EverydayCall& call) {
  TRY(engine::freeze_tenant(call.places, call.arguments.word(0), false, call.host));
  return print(call.arguments.word(0) + "\n");
}

Result<int> stop(const EverydayCall& call) {
  std::optional<std::int64_t> timeout_ms;
  if (const std::string text = call.arguments.text("time"); !text.empty()) {
    engine::RunRequest request;
    request.stop_timeout = text;
    timeout_ms = TRY(engine::stop_rules(request, {})).timeout_ms;
  }
  const auto say_why = [](const std::string& guest, const Error& error) {
    complain("vrun",
             Error(error.code(), "tenant stop: " + guest + ": " + error.text()).hint(error.hint()));
  };
  const int failed =
      TRY(engine::stop_tenant(call.places, call.arguments.word(0), timeout_ms, call.host, say_why));
  if (failed != 0) return kOwnFailure;
  return print(call.arguments.word(0) + "\n");
}

Result<int> remove(const EverydayCall& call) {
  TRY(engine::remove_tenant(call.places, call.arguments.word(0), call.arguments.on("force"),
                            call.host));
  return print(call.arguments.word(0) + "\n");
}

struct Row {
  std::string_view verb;
  Result<int> (*function)(const EverydayCall&);
};
constexpr std::array kFunctions{
    Row{"tenant create", &create},     Row{"tenant show", &show},
    Row{"tenant ls", &list},           Row{"tenant update", &update},
    Row{"tenant export", &export_all}, Row{"tenant freeze", &freeze},
    Row{"tenant thaw", &thaw},         Row{"tenant stop", &stop},
    Row{"tenant rm", &remove},         Row{"tenant usage", &tenant_usage},
    Row{"tenant top", &tenant_top},    Row{"metrics", &tenant_metrics},
};

const Row* find_row(std::string_view verb) {
  const auto found = std::find_if(kFunctions.begin(), kFunctions.end(),
                                  [&](const Row& row) { return row.verb == verb; });
  return found == kFunctions.end() ? nullptr : &*found;
}

}  // namespace

const char* state_word(const TenantState& state) {
  if (state.frozen) return "frozen";
  return state.running != 0 ? "active" : "idle";
}

bool is_tenant_verb(std::string_view verb) {
  return find_row(verb) != nullptr;
}

Result<int> everyday_tenant(std::string_view verb, const EverydayCall& call) {
  return find_row(verb)->function(call);
}

std::string brokered_tenant(std::string_view verb, const EverydayCall& call) {
  constexpr std::array<std::string_view, 6> kOfOne{"tenant show", "tenant freeze", "tenant thaw",
                                                   "tenant stop", "tenant usage",  "tenant top"};
  const bool names_it = std::find(kOfOne.begin(), kOfOne.end(), verb) != kOfOne.end();
  if (names_it && call.tenant == tenants::kDefaultTenant && !call.arguments.words().empty())
    return call.arguments.word(0);
  return call.tenant;
}

void note_call(std::string_view verb, const EverydayCall& call,
               const std::vector<std::string>& typed, int code) {
  constexpr std::array<std::string_view, 27> kOnlyLook{
      "ps",        "images",         "image ls",  "image inspect", "image history",
      "history",   "inspect",        "logs",      "stats",         "top",
      "events",    "port",           "info",      "version",       "doctor",
      "diff",      "wait",           "plan",      "network ls",    "network inspect",
      "volume ls", "volume inspect", "tenant ls", "tenant show",   "system df",
      "metrics",   "cron ls"};
  if (std::find(kOnlyLook.begin(), kOnlyLook.end(), verb) != kOnlyLook.end()) return;
  if (call.host.rootless()) return;  // changes nothing of ours
  const tenants::Caller caller = tenants::caller_of(call.host);
  tenants::AuditEntry entry;
  entry.uid = caller.uid;
  entry.user = tenants::user_name(tenants::Accounts::of_host(), Uid(caller.uid));
  entry.by = caller.by;
  entry.tenant = is_tenant_verb(verb) ? call.arguments.word(0) : call.tenant;
  entry.verb = verb;
  entry.words = tenants::without_secrets(typed);
  entry.code = code;
  const Result<void> noted = tenants::note(engine::tenant_store(call.places).dir(), entry);
  if (!noted) log::warning("audit log: " + noted.error().text());
}

Result<void> check_tenant(const EverydayCall& call) {
  const std::string_view fixed = call.host.variable("VRUN_FIXED_TENANT");
  if (!fixed.empty() && fixed != call.tenant) {
    return Error(Code::kDenied, "this call is about tenant " + quote(fixed) + " alone");
  }
  TRY(engine::tenant_store(call.places).find(call.tenant));
  return {};
}

}  // namespace vrun::cli
