#include "engine/guest_update.hpp"

#include <algorithm>

#include "engine/events.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_spec.hpp"
#include "engine/limits.hpp"
#include "engine/policies.hpp"

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
  takes_away(changes.bandwidth_in, now.bandwidth_in);
  takes_away(changes.bandwidth_out, now.bandwidth_out);
  if (lifted.memory) now.memory_swap.clear();
  // One scale takes the other's place.
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

Result<void> change_running(const Guests& guests, const GuestRecord& record, const Update& update) {
  const RunRequest& now = record.request;
  const bool other_rates = now.bandwidth_in != update.request.bandwidth_in ||
                           now.bandwidth_out != update.request.bandwidth_out;
  if (other_rates) TRY(change_bandwidth(guests, record, update.request));
  Result<void> changed = runtime::update(guests.context(), record.id, update.resources);
  if (!changed && other_rates) static_cast<void>(change_bandwidth(guests, record, now));
  return changed;
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
        &RunRequest::blkio_weight, &RunRequest::bandwidth_in, &RunRequest::bandwidth_out,
        &RunRequest::restart}) {
    take(changes.*member, request.*member);
  }
  for (std::vector<std::string> RunRequest::*member :
       {&RunRequest::device_read_bps, &RunRequest::device_write_bps, &RunRequest::device_read_iops,
        &RunRequest::device_write_iops}) {
    take_devices(changes.*member, request.*member);
  }
  if (request.restart == "no") request.restart.clear();
  TRY(check_request(request));
  TRY(check_network(request));
  TRY(check_policies(request));
  update.resources = TRY(to_resources(request));
  apply(lifted, update.resources);
  return update;
}

Result<void> update_guest(const Guests& guests, const GuestRecord& record,
                          const RunRequest& changes) {
  LockedGuest locked = TRY(guests.lock(record));
  Update update = TRY(plan_update(locked.guest.record.request, changes));
  if (locked.guest.runs()) TRY(change_running(guests, locked.guest.record, update));
  locked.guest.record.request = std::move(update.request);
  TRY(locked.save());
  note_event(guests.places(), locked.guest.record, "update");
  return {};
}

}  // namespace vrun::engine
