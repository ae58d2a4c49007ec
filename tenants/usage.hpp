// What guests of a tenant have used, as append-only records: data/tenants/NAME/usage/YYYY-MM.jsonl.
//
// A record holds what the counters of one life of a guest stand at, not what was added since: one
// that is written twice or not at all changes no sum, only how finely it is known. So any command
// may write one at any time, and nothing has to be remembered between two. Sums are differences of
// neighbours in one life; what falls across the ends of a period is shared out evenly.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::tenants {

// As `guest`, with samples only: `disk` is all that the tenant keeps, guests that run included.
inline constexpr const char* kWholeTenant = "tenant";

struct UsageRecord {
  std::int64_t time_ms = 0;  // since 1970, UTC
  std::string guest, name;   // id and name
  std::string life;          // when this life began, as in the guest's record
  std::string event;         // "start", "sample", "end"
  std::uint64_t cpu_us = 0;
  std::uint64_t memory = 0;  // bytes now; of an end: the peak
  std::uint64_t disk = 0;    // bytes of its writable layer and logs
  std::uint64_t io_read = 0, io_written = 0, io_reads = 0, io_writes = 0;
  std::uint64_t net_in = 0, net_out = 0;
  bool operator==(const UsageRecord&) const = default;
};

std::string to_line(const UsageRecord& record);
Result<UsageRecord> parse_usage(std::string_view line);

// One write(2) of a whole line.
Result<void> append_usage(const std::string& tenant_dir, const UsageRecord& record);
// Sorted by time; a line that was cut by a full disk is passed over. Empty when there is nothing.
Result<std::vector<UsageRecord>> read_usage(const std::string& tenant_dir);

struct Usage {
  double cpu_seconds = 0, memory_byte_seconds = 0, disk_byte_seconds = 0;
  double io_read = 0, io_written = 0, io_reads = 0, io_writes = 0, net_in = 0, net_out = 0;
  std::uint64_t starts = 0;
  void add(const Usage& other);
  double memory_gib_hours() const { return memory_byte_seconds / kGibHour; }
  double disk_gib_hours() const { return disk_byte_seconds / kGibHour; }
  static constexpr double kGibHour = 1073741824.0 * 3600.0;
};
struct GuestUsage {
  std::string name;  // its last one
  Usage usage;
};
// By id, of the time from `from_ms` to `to_ms`; kWholeTenant is one of them.
std::map<std::string, GuestUsage> sum_usage(const std::vector<UsageRecord>& records,
                                            std::int64_t from_ms, std::int64_t to_ms);

}  // namespace vrun::tenants
