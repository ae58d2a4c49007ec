// What is known of a tenant: data/tenants/NAME/tenant.json.
//
// Small and whole; read without a lock (it is only ever replaced by rename), written by who holds
// the lock of all tenants (store.hpp).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "tenants/budget.hpp"
#include "tenants/policy.hpp"

namespace vrun::tenants {

// Every guest belongs to a tenant. This one is always there, has no limits, and is root's own.
inline constexpr const char* kDefaultTenant = "default";

// User and group ids outside that belong to this tenant alone.
struct IdBlock {
  std::uint64_t first = 0, count = 0;
  bool operator==(const IdBlock&) const = default;
};

struct Tenant {
  std::uint32_t version = 1;
  std::string name;
  std::string created;  // RFC 3339, UTC
  Budget budget;
  // Of `budget`: flags that this host cannot enforce, accepted by --best-effort.
  std::vector<std::string> unenforced;
  std::vector<std::string> admins;  // "user:NAME", "group:NAME"
  std::vector<IdBlock> ids;         // none for `default`
  Policy policy;
  // What holds the disk budget (disk.hpp): "project", "btrfs" or "loop"; empty: there is none. With
  // the number of the project or qgroup, and the file system that has it.
  std::string disk;
  std::uint64_t disk_id = 0;
  std::string disk_on;
  // Of one that a manifest made: the manifest's name, and the spec that was applied last.
  std::string manifest, applied;
  bool is_default() const { return name == kDefaultTenant; }
};

std::string to_json(const Tenant& tenant);
// `file`: its name, for messages.
Result<Tenant> parse_tenant(std::string_view json, std::string_view file);

// 1 to 32 of a-z, 0-9 and '-', beginning with a letter and not ending with '-': it is also the name
// of directories and of a cgroup. "ula" is taken: a file of the networks.
Result<void> check_tenant_name(std::string_view name);

}  // namespace vrun::tenants
