// What guests keep things in, for a manifest: named volumes, Secrets and Configs.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/cron.hpp"
#include "engine/export_manifest.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

struct Storage {
  std::set<std::string> volumes, secrets, configs;
};

std::vector<const RunRequest*> requests_of(const std::vector<GuestRecord>& records,
                                           const std::vector<CronJob>& jobs);

// What these requests name. Pure.
Storage used_storage(const std::vector<const RunRequest*>& requests);

// All that the tenant has. A volume that was made for one guest alone is not among it: another one
// is made for that guest's next copy.
Result<void> add_all_storage(const Guests& guests, Storage& storage);

// What Secrets and Configs hold belongs into no manifest: each names the files, from where vrun is
// called, that it is read from, and a note says so.
Result<void> export_storage(const Guests& guests, const Storage& storage, ExportedManifest& made);

}  // namespace vrun::engine
