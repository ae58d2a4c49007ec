// From a fault of the stage {step, errno, words} to an Error that a person understands.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/sys.hpp"
#include "steps/builder.hpp"

namespace vrun::runtime {

// What the parent, or `start`, needs to know of each step. The builder knows it while it lives; for
// `start` it was kept in the program block by the process that made the container.
Error to_error(const steps::Message& message, steps::Op op, const std::string& words,
               const std::string& where, const std::vector<std::string>& argv);
Error to_error(const steps::Message& message, const steps::Builder& builder,
               const std::vector<std::string>& argv);
// The stage ended without a fault: "killed by signal 9 during: mount proc on /proc (mounts[0])".
Error died(const sys::Exit& exit, const steps::Builder& builder);

}  // namespace vrun::runtime
