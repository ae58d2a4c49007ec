#include "engine/tenant_usage.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <optional>

#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/policies.hpp"
#include "engine/tenant_entry.hpp"
#include "images/gc.hpp"
#include "network/networks.hpp"
#include "runtime/container.hpp"

namespace vrun::engine {
namespace {

using tenants::UsageRecord;

// Who is no root pays with their own account, and may write to none.
bool keeps_no_accounts(const Guests& guests) {
  return guests.host().rootless() || guests.host().nested();
}

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

UsageRecord record_of(const GuestRecord& guest, const char* event) {
  UsageRecord record;
  record.time_ms = now_ms();
  record.guest = guest.id;
  record.name = guest.name;
  record.life = guest.last.started.empty() ? guest.created : guest.last.started;
  record.event = event;
  return record;
}

void take_io(const cgroups::Stats::IoStats& io, UsageRecord& record) {
  const auto sum = [](const std::vector<cgroups::BlkioEntry>& entries, std::string_view op) {
    std::uint64_t all = 0;
    for (const cgroups::BlkioEntry& one : entries)
      all += one.op == op ? one.value : 0;
    return all;
  };
  record.io_read = sum(io.bytes, "Read");
  record.io_written = sum(io.bytes, "Write");
  record.io_reads = sum(io.operations, "Read");
  record.io_writes = sum(io.operations, "Write");
}

void take(const cgroups::Stats& stats, bool at_end, UsageRecord& record) {
  if (stats.cpu) record.cpu_us = stats.cpu->usage_ns / 1000;
  if (stats.memory) {
    // Where the kernel keeps no peak, what is charged still is the best that is known.
    const std::uint64_t peak = std::max(stats.memory->max_usage, stats.memory->usage);
    record.memory = at_end ? peak : stats.memory->usage;
  }
  if (stats.io) take_io(*stats.io, record);
}

void take_network(const Guests& guests, const GuestRecord& guest, UsageRecord& record) {
  const auto networks = network::Networks::open({guests.places().data, guests.places().run},
                                                guests.tenant(), guests.host());
  if (!networks) return;
  const auto counters = networks->counters(guest.name);
  if (!counters) return;  // on no network
  record.net_in = counters->in_bytes;
  record.net_out = counters->out_bytes;
}

void take_disk(const Guests& guests, const GuestRecord& guest, UsageRecord& record) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), guests.places().guests(guests.tenant()));
  if (dir) record.disk = images::tree_bytes(*dir, guest.name);
}

// None where nothing measures it, but by reading all of it.
std::optional<std::uint64_t> measured_disk(const Guests& guests) {
  if (guests.tenant() == kDefaultTenant) return std::nullopt;
  const Result<tenants::Tenant> tenant = tenant_store(guests.places()).find(guests.tenant());
  if (!tenant) return std::nullopt;
  const Result<tenants::DiskUse> use = disk_use(guests.places(), *tenant, guests.host());
  if (!use) return std::nullopt;
  return use->bytes + noted_images(guests.places(), *tenant);
}

std::uint64_t added_up_disk(const Guests& guests) {
  const Places& places = guests.places();
  std::uint64_t bytes = 0;
  for (const std::string& dir : {places.guests(""), places.volumes("")}) {
    const Result<Fd> all = sys::open_dir(At::cwd(), dir);
    if (all) bytes += images::tree_bytes(*all, guests.tenant());
  }
  const Result<tenants::Tenant> tenant = tenant_store(places).find(guests.tenant());
  return bytes + (tenant ? noted_images(places, *tenant) : 0);
}

void write(const Guests& guests, const UsageRecord& record) {
  const std::string dir = tenant_store(guests.places()).path_of(guests.tenant());
  const Result<void> written = tenants::append_usage(dir, record);
  if (!written) log::warning("accounting of " + record.name + ": " + written.error().text());
}

void write_disk(const Guests& guests, std::optional<std::uint64_t> bytes) {
  if (!bytes) return;
  UsageRecord record;
  record.time_ms = now_ms();
  record.guest = record.life = tenants::kWholeTenant;
  record.event = "sample";
  record.disk = *bytes;
  write(guests, record);
}

}  // namespace

void note_usage_start(const Guests& guests, const GuestRecord& record) {
  if (keeps_no_accounts(guests)) return;
  write(guests, record_of(record, "start"));
  write_disk(guests, measured_disk(guests));
}

void note_usage_end(const Guests& guests, const GuestRecord& guest) {
  if (keeps_no_accounts(guests)) return;
  const Result<cgroups::Stats> stats = runtime::final_stats(guests.context(), guest.id);
  if (!stats) return;  // it never ran, or its end is written already
  UsageRecord record = record_of(guest, "end");
  take(*stats, true, record);
  take_network(guests, guest, record);
  take_disk(guests, guest, record);
  write(guests, record);
  write_disk(guests, measured_disk(guests));
}

Result<void> sample_usage(const Guests& guests) {
  if (keeps_no_accounts(guests)) return {};
  for (const Guest& guest : TRY(guests.list())) {
    if (!guest.runs()) continue;
    const Result<cgroups::Stats> stats = runtime::stats(guests.context(), guest.record.id);
    if (!stats) continue;  // it has just ended, and its end is noted by who sees it
    UsageRecord record = record_of(guest.record, "sample");
    take(*stats, false, record);
    take_network(guests, guest.record, record);
    take_disk(guests, guest.record, record);
    write(guests, record);
  }
  const std::optional<std::uint64_t> measured = measured_disk(guests);
  write_disk(guests, measured ? *measured : added_up_disk(guests));
  return {};
}

Result<std::int64_t> parse_usage_time(const std::string& flag, const std::string& text) {
  for (const char* form : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    std::tm utc{};
    const char* end = ::strptime(text.c_str(), form, &utc);
    if (end != nullptr && *end == '\0') return static_cast<std::int64_t>(::timegm(&utc)) * 1000;
  }
  const bool has_unit = !text.empty() && (text.back() < '0' || text.back() > '9');
  const auto ago = has_unit ? parse_milliseconds(text, 1000) : std::nullopt;
  if (ago) return now_ms() - *ago;
  return Error(Code::kInvalid, flag + " " + quote(text) + ": not a time")
      .hint("such as 2026-11-01, 2026-11-01T12:00:00Z (UTC), or 24h for so long ago");
}

}  // namespace vrun::engine
