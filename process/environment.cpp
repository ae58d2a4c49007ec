#include "process/environment.hpp"

#include <algorithm>
#include <unordered_set>

#include "base/text.hpp"

namespace vrun::process {

Environment check_environment(const oci::Process& process, std::string_view where, Faults& faults) {
  Environment environment;
  environment.needs_home = true;
  std::unordered_set<std::string_view> seen;
  // from the end, so that the last of several values is the one that stays
  for (std::size_t i = process.env.size(); i-- > 0;) {
    const std::string_view entry = process.env[i];
    const std::size_t equals = entry.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      faults.add(std::string(where) + ".env[" + std::to_string(i) + "]",
                 quote(entry) + " is not NAME=value");
      continue;
    }
    const std::string_view name = entry.substr(0, equals);
    if (!seen.insert(name).second) continue;
    if (name == "HOME") {
      if (equals + 1 == entry.size()) continue;
      environment.needs_home = false;
    }
    if (name == "PATH") environment.path = entry.substr(equals + 1);
    environment.entries.push_back(entry);
  }
  std::reverse(environment.entries.begin(), environment.entries.end());
  return environment;
}

}  // namespace vrun::process
