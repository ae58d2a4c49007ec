// `vrun stats`: what guests use, again and again.
#include <algorithm>
#include <cmath>
#include <ctime>
#include <map>
#include <thread>

#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/output.hpp"
#include "cli/stats_sample.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_tools.hpp"
#include "engine/guest_network.hpp"
#include "engine/micro_vm.hpp"
#include "engine/micro_vm_call.hpp"

namespace vrun::cli {
namespace {

using engine::Guest;
using engine::Guests;

// Of a look that is the only one: long enough for a cpu figure that means something.
constexpr std::chrono::milliseconds kFirstInterval{250};

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

std::uint64_t host_memory() {
  struct sysinfo info {};
  return ::sysinfo(&info) == 0 ? static_cast<std::uint64_t>(info.totalram) * info.mem_unit : 0;
}

// Those named, or all that run.
Result<std::vector<Guest>> chosen(const EverydayCall& call, const Guests& guests) {
  std::vector<Guest> found;
  if (call.arguments.words().empty()) {
    found = TRY(guests.list());
    if (!call.arguments.on("all"))
      std::erase_if(found, [](const Guest& one) { return !one.runs(); });
    return found;
  }
  for (const std::string_view word : call.arguments.words())
    found.push_back(TRY(guests.find(word)));
  return found;
}

// Of its own interfaces over all its lives and reconnects; with a foreign network, what that shows.
std::optional<Traffic> traffic_of(const Guests& guests, const Guest& guest) {
  if (engine::has_own_network(guest.record.request)) {
    const Result<network::Counters> all = engine::traffic_of(guests, guest.record);
    if (all) return Traffic{all->in_bytes, all->out_bytes};
  }
  const std::string path = "/proc/" + std::to_string(guest.pid.value) + "/net/dev";
  return parse_net_dev(fs::read_file(At::cwd(), path, 1U << 20U).value_or(""));
}

// Memory and processes as the guest's own kernel counts them. One that does not answer shows what
// its group on the host has.
void look_inside(const Guests& guests, const Guest& guest, cgroups::Stats& stats) {
  if (!engine::is_micro_vm(guest.record.request) || guest.status != engine::GuestStatus::kRunning)
    return;
  const Result<engine::MachineUse> use = engine::machine_use(guests, guest.record);
  if (!use) return;
  if (stats.memory) stats.memory->usage = use->memory;
  if (stats.memory) stats.memory->limit = use->memory_limit;
  if (!stats.pids) return;
  stats.pids->current = use->processes;
  stats.pids->limit = parse_u64(guest.record.request.pids_limit).value_or(0);
}

Sample look(const Guests& guests, const Guest& guest) {
  Sample sample;
  sample.id = guest.record.id;
  sample.name = guest.record.name;
  if (!guest.runs()) return sample;
  Result<cgroups::Stats> stats = runtime::stats(guests.context(), guest.record.id);
  if (!stats) return sample;  // it ended at this moment
  look_inside(guests, guest, *stats);
  sample.stats = *std::move(stats);
  sample.at_ns = now_ns();
  sample.network = traffic_of(guests, guest);
  return sample;
}

class Looks {
 public:
  Looks(const EverydayCall& call, const Guests& guests) : call_(call), guests_(guests) {}

  // Since the last look; the first one has no cpu figures.
  Result<std::vector<Usage>> next() {
    std::vector<Usage> usages;
    std::map<std::string, Sample> samples;
    for (const Guest& guest : TRY(chosen(call_, guests_))) {
      Sample sample = look(guests_, guest);
      const auto before = last_.find(sample.id);
      usages.push_back(
          usage_between(before == last_.end() ? nullptr : &before->second, sample, host_memory()));
      samples[sample.id] = std::move(sample);
    }
    last_ = std::move(samples);
    return usages;
  }

 private:
  const EverydayCall& call_;
  const Guests& guests_;
  std::map<std::string, Sample> last_;
};

std::string rates(const std::optional<Traffic>& traffic) {
  if (!traffic) return "-";
  return binary_size(traffic->in) + " / " + binary_size(traffic->out);
}

std::string stalls(const Usage& usage) {
  const auto one = [](const std::optional<double>& value) {
    return value ? percent(*value) : std::string("-");
  };
  if (!usage.cpu_stall && !usage.memory_stall && !usage.io_stall) return "-";
  return one(usage.cpu_stall) + " " + one(usage.memory_stall) + " " + one(usage.io_stall);
}

std::string as_table(const std::vector<Usage>& usages) {
  std::vector<std::vector<std::string>> rows{
      {"NAME", "CPU %", "MEMORY / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS", "PRESSURE"}};
  for (const Usage& usage : usages) {
    if (!usage.runs) {
      rows.push_back({usage.name, "-", "-", "-", "-", "-", "-", "-"});
      continue;
    }
    rows.push_back(
        {usage.name, usage.cpu_percent ? percent(*usage.cpu_percent) : "-",
         usage.memory ? binary_size(*usage.memory) + " / " + binary_size(usage.memory_limit) : "-",
         usage.memory && usage.memory_limit > 0
             ? percent(100.0 * static_cast<double>(*usage.memory) /
                       static_cast<double>(usage.memory_limit))
             : "-",
         rates(usage.network), rates(usage.block), usage.pids ? std::to_string(*usage.pids) : "-",
         stalls(usage)});
  }
  return table(rows);
}

// What is not known is absent.
void write_usage(json::Writer& writer, const Usage& usage) {
  writer.begin_object().member("name", usage.name).member("id", usage.id);
  writer.member("running", usage.runs);
  if (usage.cpu_percent) writer.member("cpuPercent", std::round(*usage.cpu_percent * 100) / 100);
  if (usage.cpu_ns) writer.member("cpuNanoseconds", *usage.cpu_ns);
  if (usage.memory) writer.member("memory", *usage.memory);
  if (usage.memory) writer.member("memoryLimit", usage.memory_limit);
  if (usage.pids) writer.member("pids", *usage.pids);
  if (usage.pids && usage.pids_limit > 0) writer.member("pidsLimit", usage.pids_limit);
  const auto traffic = [&](const char* key, const std::optional<Traffic>& one) {
    if (!one) return;
    writer.key(key).begin_object().member("in", one->in).member("out", one->out).end_object();
  };
  traffic("network", usage.network);
  traffic("block", usage.block);
  writer.key("pressure").begin_object();
  if (usage.cpu_stall) writer.member("cpu", *usage.cpu_stall);
  if (usage.memory_stall) writer.member("memory", *usage.memory_stall);
  if (usage.io_stall) writer.member("io", *usage.io_stall);
  writer.end_object().end_object();
}

std::string as_json(const std::vector<Usage>& usages, json::Style style) {
  json::Writer writer(style);
  writer.begin_array();
  for (const Usage& usage : usages)
    write_usage(writer, usage);
  writer.end_array();
  return writer.take();
}

}  // namespace

Result<int> everyday_stats(const EverydayCall& call) {
  const Form form = TRY(form_of(call.arguments));
  const auto interval = call.arguments.duration("interval");
  if (interval < std::chrono::milliseconds(50)) {
    return Error(Code::kInvalid, "--interval: below 50ms");
  }
  const Guests guests = TRY(guests_of(call));
  Looks looks(call, guests);
  TRY(looks.next());
  const bool once = call.arguments.on("no-stream");
  LiveView view(!once && form == Form::kTable && ::isatty(STDOUT_FILENO) == 1);
  std::this_thread::sleep_for(kFirstInterval);
  while (true) {
    const std::vector<Usage> usages = TRY(looks.next());
    if (form == Form::kTable) {
      TRY(view.show(as_table(usages)));
    } else {
      const auto style = once ? json::Style::kSpaces : json::Style::kCompact;
      const std::string text = TRY(document(form, as_json(usages, style)));
      TRY(sys::write_all(STDOUT_FILENO, (form == Form::kYaml && !once ? "---\n" : "") + text));
    }
    if (once) return 0;
    std::this_thread::sleep_for(interval);
  }
}

}  // namespace vrun::cli
