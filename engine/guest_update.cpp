#include "engine/guest_update.hpp"

#include <algorithm>

#include "engine/events.hpp"
#include "engine/guest_spec.hpp"
#include "engine/limits.hpp"
#include "engine/policies.hpp"
#include "engine/tenant_policy.hpp"

namespace vrun::engine {
namespace {

constexpr const char* kNoLimit = "-1";

void take(const std::string& from, std::string& to) {
  if (!from.empty()) to = from;
}

// "/dev/sda:1m" of a device takes the place of what was said of it before.
void take_devices(const std::vector<std::string>& from, std::vector<std::string>& to) {
  for (const std::string& text : from) {
    const std::string device = text.substr(0, text.rfind(':') + 1);
    std::erase_if(to, [&](const std::string& old) { return old.starts_with(device); });
    to.push_back(text);
  }
}

// True when the change takes the limit away; what is left of it must not be read as a number.
bool takes_away(std::string& change, std::string& now) {
  if (change != kNoLimit) return false;
  change.clear();
  now.clear();
  return true;
}

struct Lifted {
  bool memory = false, cpus = false, pids = false;
};

Lifted lift(RunRequest& now, RunRequest& changes) {
  Lifted lifted;
  lifted.memory = takes_away(changes.memory, now.memory);
  lifted.cpus = takes_away(changes.cpus, now.cpus);
  lifted.pids = takes_away(changes.pids_limit, now.pids_limit);
  if (lifted.memory) now.memory_swap.clear();
  // One scale takes the other's place.
  if (lifted.cpus || !changes.cpus.empty()) {
    now.cpu_quota.clear();
    now.cpu_period.clear();
  }
  if (!changes.cpu_weight.empty()) now.cpu_shares.clear();
  if (!changes.cpu_shares.empty()) now.cpu_weight.clear();
  return lifted;
}

void apply(const Lifted& lifted, oci::Resources& resources) {
  if (lifted.memory) {
    if (!resources.memory) resources.memory.emplace();
    resources.memory->limit = -1;
    resources.memory->swap = -1;
  }
  if (lifted.cpus) {
    if (!resources.cpu) resources.cpu.emplace();
    resources.cpu->quota = -1;
  }
  if (lifted.pids) resources.pids_limit = -1;
}

}  // namespace

Result<Update> plan_update(const RunRequest& now, RunRequest changes) {
  Update update;
  update.request = now;
  RunRequest& request = update.request;
  const Lifted lifted = lift(request, changes);
  for (std::string RunRequest::*member :
       {&RunRequest::memory, &RunRequest::memory_reservation, &RunRequest::memory_swap,
        &RunRequest::cpus, &RunRequest::cpu_weight, &RunRequest::cpu_shares,
        &RunRequest::cpuset_cpus, &RunRequest::cpuset_mems, &RunRequest::pids_limit,
        &RunRequest::blkio_weight, &RunRequest::restart}) {
    take(changes.*member, request.*member);
  }
  for (std::vector<std::string> RunRequest::*member :
       {&RunRequest::device_read_bps, &RunRequest::device_write_bps, &RunRequest::device_read_iops,
        &RunRequest::device_write_iops}) {
    take_devices(changes.*member, request.*member);
  }
  if (request.restart == "no") request.restart.clear();
  // Nothing starts it at a boot, so nothing comes before that.
  if (request.restart.empty()) request.start_after.clear();
  TRY(check_request(request));
  TRY(check_policies(request));
  update.resources = TRY(to_resources(request));
  apply(lifted, update.resources);
  return update;
}

Result<void> update_guest(const Guests& guests, const GuestRecord& record,
                          const RunRequest& changes) {
  LockedGuest locked = TRY(guests.lock(record));
  Update update = TRY(plan_update(locked.guest.record.request, changes));
  TRY(check_host_cpus(update.request));
  TRY(fit_update(guests, update.resources, update.request));
  if (locked.guest.runs()) TRY(runtime::update(guests.context(), record.id, update.resources));
  locked.guest.record.request = std::move(update.request);
  TRY(locked.save());
  note_event(guests.places(), locked.guest.record, "update");
  return {};
}

}  // namespace vrun::engine
