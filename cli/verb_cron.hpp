// The verbs of CronJobs.
#pragma once

#include "cli/run.hpp"

namespace vrun::cli {

Result<int> everyday_cron_list(const EverydayCall& call);

}  // namespace vrun::cli
