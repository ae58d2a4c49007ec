// Who a guest's process is: "user[:group]" looked up in the image's own passwd and group files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

struct Account {
  oci::User user;
  std::string home = "/";
  std::string name, shell;  // empty: passwd does not say
};

// `passwd` and `group` are the texts of /etc/passwd and /etc/group (empty: the file is missing).
// Names must be in them, numbers need not. Groups in which a named or known user is a member are
// added unless a group was asked for. Damaged lines are passed over, as libc does.
Result<Account> find_account(std::string_view wanted, std::string_view passwd,
                             std::string_view group);

// --group-add: further groups for the account, by name or number.
Result<void> add_groups(const std::vector<std::string>& wanted, std::string_view group,
                        Account& account);

}  // namespace vrun::engine
