// What a tenant's admin may ask of vrun-broker, as a table; pure.
//
// Everything that is not allowed by name is refused: verbs that reach beyond one tenant, flags that
// name files of the host (root would open them with its own rights), the place of vrun's data.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::cli {

// The verb of a call and whether it may be run. `words`: behind `vrun`, without --tenant, which the
// broker adds itself. `sent`: the files whose texts came with the call.
struct BrokeredCall {
  std::string verb;                // "tenant show"
  std::vector<std::string> words;  // for vrun, in the order in which they stood
};
Result<BrokeredCall> check_brokered(const std::string& tenant,
                                    const std::vector<std::string>& words,
                                    std::span<const std::string> sent = {});

// Is the verb in the table? (Every verb that is not is refused.)
bool is_brokered_verb(std::string_view verb);

}  // namespace vrun::cli
