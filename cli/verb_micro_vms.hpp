// The verbs of micro-VMs.
#pragma once

#include <string_view>

#include "cli/run.hpp"

namespace vrun::cli {

bool is_micro_vm_verb(std::string_view verb);
Result<int> everyday_micro_vm(std::string_view verb, const EverydayCall& call);

}  // namespace vrun::cli
