// Guests, Jobs, Groups and CronJobs for a manifest, as they were described before they were made.
//
// Labels of apply say what a guest was: one of some replicas, a member of a Group, a Job. It is
// written as that where what is there can still be said so; else as a guest of its own, and a note
// says what it was. Runs of a CronJob that is written are left out. Pure.
#pragma once

#include <vector>

#include "engine/cron.hpp"
#include "engine/export_manifest.hpp"
#include "engine/guest_record.hpp"

namespace vrun::engine {

void export_runners(const std::vector<GuestRecord>& records, const std::vector<CronJob>& jobs,
                    ExportedManifest& made);

}  // namespace vrun::engine
