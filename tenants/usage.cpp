#include "tenants/usage.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include <fcntl.h>

#include "base/fs.hpp"
#include "base/json_table.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::tenants {
namespace {

constexpr std::size_t kMostBytes = 1U << 30U;

std::string month_of(std::int64_t time_ms) {
  const std::time_t seconds = static_cast<std::time_t>(time_ms / 1000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 16> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m", &utc);
  return std::string(text.data(), size) + ".jsonl";
}

// A counter that went back began anew.
double grown(std::uint64_t before, std::uint64_t now) {
  return static_cast<double>(now >= before ? now - before : now);
}

// What was used from one record of a life to the next. `before` is a start or a sample.
Usage between(const UsageRecord& before, const UsageRecord& now) {
  Usage usage;
  const double seconds = static_cast<double>(now.time_ms - before.time_ms) / 1000.0;
  usage.cpu_seconds = grown(before.cpu_us, now.cpu_us) / 1e6;
  usage.io_read = grown(before.io_read, now.io_read);
  usage.io_written = grown(before.io_written, now.io_written);
  usage.io_reads = grown(before.io_reads, now.io_reads);
  usage.io_writes = grown(before.io_writes, now.io_writes);
  usage.net_in = grown(before.net_in, now.net_in);
  usage.net_out = grown(before.net_out, now.net_out);
  // A start knows nothing of its memory, and an end the peak alone: what a sample saw is better.
  const bool was_seen = before.event == "sample", is_seen = now.event == "sample";
  double memory = static_cast<double>(now.memory);
  if (was_seen && is_seen) {
    memory = (static_cast<double>(before.memory) + memory) / 2;
  } else if (was_seen) {
    memory = static_cast<double>(before.memory);
  }
  usage.memory_byte_seconds = memory * seconds;
  const double disk = before.event == "start" ? static_cast<double>(now.disk)
                                              : static_cast<double>(before.disk + now.disk) / 2;
  usage.disk_byte_seconds = disk * seconds;
  return usage;
}

Usage scaled(Usage usage, double part) {
  for (double Usage::*member :
       {&Usage::cpu_seconds, &Usage::memory_byte_seconds, &Usage::disk_byte_seconds,
        &Usage::io_read, &Usage::io_written, &Usage::io_reads, &Usage::io_writes, &Usage::net_in,
        &Usage::net_out})
    usage.*member *= part;
  return usage;
}

double part_inside(std::int64_t begin, std::int64_t end, std::int64_t from, std::int64_t to) {
  if (end == begin) return begin >= from && begin < to ? 1.0 : 0.0;
  const std::int64_t inside = std::min(end, to) - std::max(begin, from);
  return std::max(0.0, static_cast<double>(inside) / static_cast<double>(end - begin));
}

}  // namespace

constexpr auto json_fields(const UsageRecord*) {
  using json::field;
  using U = UsageRecord;
  return json::fields(
      field("time", &U::time_ms, {.required = true}), field("guest", &U::guest, {.required = true}),
      field("name", &U::name), field("life", &U::life, {.required = true}),
      field("event", &U::event, {.required = true}), field("cpuUs", &U::cpu_us),
      field("memory", &U::memory), field("disk", &U::disk), field("ioRead", &U::io_read),
      field("ioWritten", &U::io_written), field("ioReads", &U::io_reads),
      field("ioWrites", &U::io_writes), field("netIn", &U::net_in), field("netOut", &U::net_out));
}

std::string to_line(const UsageRecord& record) {
  return json::write(record) + "\n";
}

Result<UsageRecord> parse_usage(std::string_view line) {
  return json::read<UsageRecord>(line, "usage record");
}

Result<void> append_usage(const std::string& tenant_dir, const UsageRecord& record) {
  TRY(fs::make_dirs(At::cwd(), tenant_dir + "/usage", 0700));
  const Fd file = TRY(sys::open(At::cwd(), tenant_dir + "/usage/" + month_of(record.time_ms),
                                O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600));
  return sys::write_all(file.get(), to_line(record));
}

Result<std::vector<UsageRecord>> read_usage(const std::string& tenant_dir) {
  std::vector<UsageRecord> records;
  const Result<Fd> dir = sys::open_dir(At::cwd(), tenant_dir + "/usage");
  if (!dir && dir.error().code() == Code::kNotFound) return records;
  if (!dir) return Error(dir.error().code(), dir.error().text());
  for (const std::string& name : TRY(sys::list_dir(dir->get()))) {
    if (!name.ends_with(".jsonl")) continue;
    const std::string text = TRY(fs::read_file(*dir, name, kMostBytes, fs::Kind::kRegularOnly));
    for (const std::string_view line : split(text, '\n')) {
      Result<UsageRecord> record = parse_usage(line);
      if (record) records.push_back(*std::move(record));
    }
  }
  std::stable_sort(records.begin(), records.end(), [](const UsageRecord& a, const UsageRecord& b) {
    return a.time_ms < b.time_ms;
  });
  return records;
}

void Usage::add(const Usage& other) {
  for (double Usage::*member :
       {&Usage::cpu_seconds, &Usage::memory_byte_seconds, &Usage::disk_byte_seconds,
        &Usage::io_read, &Usage::io_written, &Usage::io_reads, &Usage::io_writes, &Usage::net_in,
        &Usage::net_out})
    this->*member += other.*member;
  starts += other.starts;
}

std::map<std::string, GuestUsage> sum_usage(const std::vector<UsageRecord>& records,
                                            std::int64_t from_ms, std::int64_t to_ms) {
  std::map<std::string, GuestUsage> sums;
  std::map<std::pair<std::string, std::string>, const UsageRecord*> last;  // of each life
  for (const UsageRecord& record : records) {
    const UsageRecord*& before = last[{record.guest, record.life}];
    // Without a start (it was lost with a full disk) the counters themselves say what was used.
    const bool ended = before != nullptr && before->event == "end";
    const double part = before == nullptr || ended
                            ? 0.0
                            : part_inside(before->time_ms, record.time_ms, from_ms, to_ms);
    const bool started =
        record.event == "start" && record.time_ms >= from_ms && record.time_ms < to_ms;
    if (part > 0 || started) {
      GuestUsage& sum = sums[record.guest];
      sum.name = record.name;
      if (part > 0) sum.usage.add(scaled(between(*before, record), part));
      sum.usage.starts += started ? 1U : 0U;
    }
    before = &record;
  }
  return sums;
}

}  // namespace vrun::tenants
