// vrun image build-disk.
#pragma once

#include "base/result.hpp"
#include "cli/run.hpp"

namespace vrun::cli {

Result<int> everyday_build_disk(const EverydayCall& call);

}  // namespace vrun::cli
