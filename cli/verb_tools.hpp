// The verbs of cli/verbs_tools.hpp.
#pragma once

#include <string_view>

#include "cli/run.hpp"

namespace vrun::cli {

bool is_tool_verb(std::string_view verb);
Result<int> everyday_tool(std::string_view verb, const EverydayCall& call);

// ---- one file each ----
Result<int> everyday_stats(const EverydayCall& call);
Result<int> everyday_top(const EverydayCall& call);
Result<int> everyday_update(const EverydayCall& call);
Result<int> everyday_port(const EverydayCall& call);
Result<int> everyday_info(const EverydayCall& call);
Result<int> everyday_version(const EverydayCall& call);
Result<int> everyday_completion(const EverydayCall& call);
Result<int> everyday_doctor(const EverydayCall& call);
Result<int> everyday_debug(const EverydayCall& call);
// cp, diff, export, commit: verb_trees.cpp.
Result<int> everyday_cp(const EverydayCall& call);
Result<int> everyday_diff(const EverydayCall& call);
Result<int> everyday_export(const EverydayCall& call);
Result<int> everyday_commit(const EverydayCall& call);

}  // namespace vrun::cli
