// --tenant, which stands before the verb or among its flags, for every verb.
#pragma once

#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

// Takes --tenant NAME out of the words of a verb; empty: it is not there. A word that belongs to
// the guest's command is never taken for it.
Result<std::string> take_tenant_flag(const EverydayVerb& verb, std::vector<std::string>& words);

// The tenant of a call: of the verb's flag, else the one before the verb, else VRUN_TENANT, else
// `default`.
std::string tenant_of(const std::string& of_verb, const Arguments& globals, const Host& host);

}  // namespace vrun::cli
