// The rows of the verbs for CronJobs; everyday_verbs.cpp joins them to its own.
#pragma once

#include <array>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

inline constexpr std::array kCronVerbs{
    EverydayVerb{.name = "cron ls",
                 .arguments = "",
                 .summary = "list the CronJobs of manifests: schedule, last and next run",
                 .text = "Times are UTC. The last column is the last run and how it stands, or why "
                         "there was none.",
                 .flag_set = EverydayFlags::kFormat},
};

}  // namespace vrun::cli
