// The verbs of manifests: apply, validate, delete, convert, and `diff -f`, `export --manifest`.
#pragma once

#include <string_view>

#include "cli/run.hpp"

namespace vrun::cli {

bool is_manifest_verb(std::string_view verb);
Result<int> everyday_manifest(std::string_view verb, const EverydayCall& call);

// `vrun diff -f FILE`: the plan of apply; 0: nothing would change, 1: something would.
Result<int> everyday_manifest_diff(const EverydayCall& call);
// `vrun export --manifest [GUEST...]`.
Result<int> everyday_manifest_export(const EverydayCall& call);

}  // namespace vrun::cli
