#include "engine/guest_update.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "engine/checkpoint.hpp"
#include "engine/disk.hpp"
#include "engine/events.hpp"
#include "engine/guest_spec.hpp"
#include "engine/limits.hpp"
#include "engine/micro_vm.hpp"
#include "engine/micro_vm_call.hpp"
#include "engine/policies.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/tenant_policy.hpp"
#include "vm/lower.hpp"

namespace vrun::engine {
namespace {

constexpr const char* kNoLimit = "-1";
constexpr const char* kWhenStopped = "vrun stop, vrun update, vrun start";

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

struct MachineChange {
  vm::Engine engine;
  vm::MachineSize before, after;
};

// A micro-VM has the processors and the memory of its start; it can do with less memory.
Result<MachineChange> machine_change(const Guests& guests, const GuestRecord& record,
                                     const Update& update) {
  for (const auto& [member, flag] : {std::pair{&RunRequest::memory_swap, "--memory-swap"},
                                     {&RunRequest::memory_reservation, "--memory-reservation"},
                                     {&RunRequest::pids_limit, "--pids-limit"}}) {
    if (record.request.*member == update.request.*member) continue;
    return Error(Code::kUnsupported, std::string(flag) + ": a micro-VM that runs cannot change it")
        .hint(kWhenStopped);
  }
  const MachineMemory now = TRY(machine_memory(guests, record));
  oci::Spec wanted;
  wanted.linux.resources = update.resources;
  MachineChange change{.engine = now.engine,
                       .before = {now.boot_bytes, now.processors},
                       .after = TRY(vm::size_of(wanted))};
  if (update.resources.cpu && change.after.processors > now.processors) {
    return Error(Code::kUnsupported, "--cpus: the machine was started with " +
                                         std::to_string(now.processors) +
                                         (now.processors == 1 ? " processor" : " processors") +
                                         ", and gets no more while it runs")
        .hint(kWhenStopped);
  }
  return change;
}

// The group's limits are higher than the guest's by what the VMM needs for the machine of the
// start.
Result<void> update_micro_vm(const Guests& guests, const GuestRecord& record, Update& update) {
  const MachineChange change = TRY(machine_change(guests, record, update));
  const bool memory = record.request.memory != update.request.memory;
  if (memory) TRY(set_machine_memory(guests, record, change.after.memory));
  if (is_disk_guest(record.request)) {
    const std::vector<vm::DiskLimits> limits = TRY(limits_of_disks(update.request));
    std::vector<std::string> names;
    for (const std::string& text : update.request.disks)
      names.push_back(disk_name(text));
    TRY(set_disk_limits(guests, record, names, limits));
  }
  update.resources.pids_limit.reset();
  update.resources.memory.reset();
  if (memory) {
    const std::uint64_t limit = change.after.memory + vm::overhead_of(change.before, change.engine);
    update.resources.memory.emplace().limit = static_cast<std::int64_t>(limit);
  }
  return runtime::update(guests.context(), record.id, update.resources);
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
  TRY(refuse_for_checkpoint(locked.guest.record, "change"));
  Update update = TRY(plan_update(locked.guest.record.request, changes));
  TRY(check_host_cpus(update.request));
  TRY(check_micro_vm(update.request, guests.host().nested()));
  TRY(fit_update(guests, update.resources, update.request));
  const Fd admission = TRY(admit_change(guests, record, update.request));
  const GuestRecord& now = locked.guest.record;
  if (locked.guest.runs() && is_micro_vm(now.request)) {
    if (locked.guest.status == GuestStatus::kPaused)
      return Error(Code::kState,
                   "guest " + quote(now.name) + " is paused: its machine changes nothing")
          .hint("vrun unpause " + now.name);
    TRY(update_micro_vm(guests, now, update));
  } else if (locked.guest.runs()) {
    TRY(runtime::update(guests.context(), record.id, update.resources));
  }
  locked.guest.record.request = std::move(update.request);
  TRY(locked.save());
  note_event(guests.places(), locked.guest.record, "update");
  return {};
}

}  // namespace vrun::engine
