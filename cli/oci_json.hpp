// The documents that the OCI verbs print, with runc's names of fields.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/id.hpp"
#include "cgroups/group.hpp"
#include "runtime/container.hpp"

namespace vrun::cli {

std::string state_json(const runtime::Info& info);  // indented, as runc's
// One line: an array; `null` when there is none, as runc prints it.
std::string list_json(const std::vector<runtime::Info>& containers);
std::string pids_json(const std::vector<Pid>& pids);
// {"type":"stats","id":ID,"data":{...}} and {"type":"oom","id":ID}, a line each.
std::string stats_line(const std::string& id, const cgroups::Stats& stats);
std::string oom_line(const std::string& id);
// The features document of runtime-spec: what this build does on this kernel.
std::string features_json(const Host& host);

// Names of users by /etc/passwd, else "#1000"; each looked up once. No NSS: the program is static.
class UserNames {
 public:
  const std::string& of(Uid uid);

 private:
  std::map<std::uint32_t, std::string> known_;
};

}  // namespace vrun::cli
