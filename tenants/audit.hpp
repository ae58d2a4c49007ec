// Who asked for what, in which tenant, with which result: JSON lines, appended whole.
//
//   data/tenants/NAME/audit.log   of one tenant
//   data/tenants/audit.log        of tenants that are made or removed, and of askers without one
//   .../audit.log.1               what was before, once a log has 64 MiB: no log fills the disk
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"

namespace vrun::tenants {

struct AuditEntry {
  std::uint32_t uid = 0;
  std::string user;  // its name; the number when it has none
  std::string by;    // "root", "sudo", "broker"
  std::string tenant;
  std::string verb;                // "run"
  std::vector<std::string> words;  // behind the verb, secrets taken out
  int code = 0;                    // what the command ended with
  std::string refusal;             // why it was not even tried; empty: it was
};
std::string to_line(const AuditEntry& entry, const std::string& time);
// To the tenant's log, and to the common one where there is no such tenant (any more).
Result<void> note(const std::string& tenants_dir, const AuditEntry& entry);

// Values of environment variables and passwords are replaced by "...": a log is read by more people
// than may know them. `words`: as they were typed. Words are cut, and all of them together, too.
std::vector<std::string> without_secrets(const std::vector<std::string>& words);

// Who asks: the caller that the broker vouches for (VRUN_CALLER_UID, believed from root alone, who
// could claim anything anyway), sudo's, else the process's own user.
struct Caller {
  std::uint32_t uid = 0;
  std::string by;
};
Caller caller_of(const Host& host);

}  // namespace vrun::tenants
