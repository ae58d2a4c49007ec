#include "tenants/record.hpp"

#include <algorithm>

#include "base/json_table.hpp"
#include "base/text.hpp"

namespace vrun::tenants {
namespace {

constexpr std::size_t kLongestName = 32;

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}

bool fits(char c) {
  return is_lower(c) || (c >= '0' && c <= '9') || c == '-';
}

}  // namespace

constexpr auto json_fields(const IdBlock*) {
  using json::field;
  constexpr std::uint64_t kMost = 0xFFFFFFFFU;
  return json::fields(field("first", &IdBlock::first, {.min = 1, .max = kMost, .required = true}),
                      field("count", &IdBlock::count, {.min = 1, .max = kMost, .required = true}));
}

constexpr auto json_fields(const Budget*) {
  using json::field;
  using B = Budget;
  return json::fields(field("cpuMilli", &B::cpu_milli), field("cpuWeight", &B::cpu_weight),
                      field("memory", &B::memory), field("swap", &B::swap), field("pids", &B::pids),
                      field("ioRead", &B::io_read), field("ioWrite", &B::io_write),
                      field("disk", &B::disk), field("bandwidth", &B::bandwidth),
                      field("maxGuests", &B::max_guests), field("maxVcpus", &B::max_vcpus),
                      field("cpusetCpus", &B::cpuset_cpus));
}

constexpr auto json_fields(const Policy*) {
  using json::field;
  using P = Policy;
  return json::fields(
      field("capabilities", &P::capabilities), field("mounts", &P::mounts),
      field("devices", &P::devices), field("namespaces", &P::namespaces),
      field("sysctls", &P::sysctls), field("registries", &P::registries),
      field("networks", &P::networks), field("ports", &P::ports), field("addresses", &P::addresses),
      field("unsafe", &P::unsafe), field("vmRequired", &P::vm_required),
      field("systemForbidden", &P::system_forbidden), field("guestMemory", &P::guest_memory),
      field("guestCpuMilli", &P::guest_cpu_milli), field("guestPids", &P::guest_pids));
}

constexpr auto json_fields(const Tenant*) {
  using json::field;
  using T = Tenant;
  return json::fields(field("version", &T::version, {.min = 1, .max = 1, .required = true}),
                      field("name", &T::name, {.required = true, .non_empty = true}),
                      field("created", &T::created), field("budget", &T::budget),
                      field("unenforced", &T::unenforced), field("admins", &T::admins),
                      field("ids", &T::ids), field("disk", &T::disk), field("diskId", &T::disk_id),
                      field("diskOn", &T::disk_on), field("policy", &T::policy),
                      field("manifest", &T::manifest), field("applied", &T::applied));
}

std::string to_json(const Tenant& tenant) {
  return json::write(tenant, json::Style::kSpaces) + "\n";
}

Result<Tenant> parse_tenant(std::string_view text, std::string_view file) {
  return json::read<Tenant>(text, file);
}

Result<void> check_tenant_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= kLongestName && is_lower(name.front()) &&
                    name.back() != '-' && name != "ula" &&
                    std::all_of(name.begin(), name.end(), fits);
  if (good) return {};
  return Error(Code::kInvalid, quote(name.substr(0, 80)) + " is not a tenant's name")
      .hint("1 to 32 small letters, digits and '-', beginning with a letter, not ending with '-'");
}

}  // namespace vrun::tenants
