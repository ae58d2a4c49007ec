#include "engine/export_tenant.hpp"

#include <array>
#include <cstdint>
#include <span>

#include "base/text.hpp"
#include "engine/cron.hpp"
#include "engine/export_runners.hpp"
#include "engine/export_storage.hpp"
#include "engine/manifest_lines.hpp"
#include "network/networks.hpp"

namespace vrun::engine {
namespace {

// The shortest way to say exactly this many: 2147483648 is "2G".
std::string exact(std::uint64_t value, std::uint64_t step) {
  constexpr std::string_view kUnits = "KMGT";
  std::string unit;
  for (const char letter : kUnits) {
    if (value == 0 || value % step != 0) break;
    value /= step;
    unit = letter;
  }
  return std::to_string(value) + unit;
}

std::string exact_cpus(std::uint64_t milli) {
  std::string text = std::to_string(milli / 1000);
  std::string part = std::to_string(1000 + milli % 1000).substr(1);
  while (!part.empty() && part.back() == '0')
    part.pop_back();
  return part.empty() ? text : text + "." + part;
}

void size(Lines& lines, std::string_view key, std::uint64_t bytes) {
  if (bytes != 0) lines.text(key, exact(bytes, 1024));
}
void count(Lines& lines, std::string_view key, std::uint64_t number) {
  if (number != 0) lines.number(key, std::to_string(number));
}
void cpus(Lines& lines, std::string_view key, std::uint64_t milli) {
  if (milli != 0) lines.number(key, exact_cpus(milli));
}

void add_budget(const tenants::Budget& budget, Lines& lines) {
  cpus(lines, "cpus", budget.cpu_milli);
  count(lines, "cpuWeight", budget.cpu_weight);
  size(lines, "memory", budget.memory);
  if (budget.swap) lines.text("swap", exact(*budget.swap, 1024));
  count(lines, "pids", budget.pids);
  size(lines, "ioRead", budget.io_read);
  size(lines, "ioWrite", budget.io_write);
  size(lines, "disk", budget.disk);
  if (budget.bandwidth != 0) lines.text("bandwidth", exact(budget.bandwidth, 1000));
  count(lines, "maxGuests", budget.max_guests);
  count(lines, "maxVcpus", budget.max_vcpus);
  if (!budget.cpuset_cpus.empty()) lines.text("cpusetCpus", budget.cpuset_cpus);
}

void add_policy(const tenants::Policy& policy, Lines& lines) {
  lines.list("capabilities", policy.capabilities);
  lines.list("mounts", policy.mounts);
  lines.list("devices", policy.devices);
  lines.list("hostNamespaces", policy.namespaces);
  lines.list("sysctls", policy.sysctls);
  lines.list("ports", policy.ports);
  lines.list("addresses", policy.addresses);
  lines.list("unsafe", policy.unsafe);
  lines.list("registries", policy.registries);
  lines.list("networks", policy.networks);
  size(lines, "guestMemory", policy.guest_memory);
  cpus(lines, "guestCpus", policy.guest_cpu_milli);
  count(lines, "guestPids", policy.guest_pids);
  lines.on("requireVm", policy.vm_required);
  lines.on("forbidSystem", policy.system_forbidden);
}

}  // namespace

std::string tenant_text(const tenants::Tenant& tenant) {
  Lines lines = document("Tenant", tenant.name);
  add_budget(tenant.budget, lines);
  lines.list("admins", tenant.admins);
  Lines policy("  ");
  add_policy(tenant.policy, policy);
  lines.group("policy", policy);
  return lines.take();
}

Result<ExportedManifest> export_tenant(const Guests& guests, const tenants::Tenant& tenant) {
  ExportedManifest made;
  if (!tenant.is_default()) made.text = tenant_text(tenant);
  made.text += TRY(networks_text(guests));
  std::vector<GuestRecord> records;
  for (const Guest& guest : TRY(guests.list()))
    records.push_back(guest.record);
  const std::vector<CronJob> jobs = TRY(list_cron_jobs(guests));
  Storage storage = used_storage(requests_of(records, jobs));
  TRY(add_all_storage(guests, storage));
  TRY(export_storage(guests, storage, made));
  export_runners(records, jobs, made);
  return made;
}

}  // namespace vrun::engine
