// Who may manage a tenant without being root: "user:NAME" and "group:NAME".
//
// Names are looked up in the texts of passwd(5) and group(5): a static program has no NSS.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/id.hpp"
#include "base/json.hpp"

namespace vrun::tenants {

// The two files, as text.
struct Accounts {
  std::string passwd, group;
  static Accounts of_host();
};

// Adds the faults of each: wrong form, no such user or group (with the nearest name).
void check_admins(std::span<const std::string> admins, const Accounts& accounts,
                  json::Faults& faults);

// Is this user one of them? `gids`: the groups of the calling process, as the kernel says.
bool is_admin(std::span<const std::string> admins, const Accounts& accounts, Uid uid,
              std::span<const Gid> gids);

// The name of a user; the number when it has none.
std::string user_name(const Accounts& accounts, Uid uid);

}  // namespace vrun::tenants
