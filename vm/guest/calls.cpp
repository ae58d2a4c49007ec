#include "vm/guest/calls.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/port_probe.hpp"
#include "vm/agent/frames.hpp"
#include "vm/guest/interface.hpp"

namespace vrun::vm {
namespace {

Error not_booted(std::string_view call) {
  return Error(Code::kUnsupported, std::string(call) + ": this agent did not boot the machine");
}

std::string info() {
  utsname names{};
  ::uname(&names);
  timespec up{};
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  struct sysinfo system {};
  ::sysinfo(&system);
  return json::Writer()
      .begin_object()
      .member("kernel", std::string_view(names.release))
      .member("processors", static_cast<std::int64_t>(::sysconf(_SC_NPROCESSORS_ONLN)))
      .member("memory", static_cast<std::uint64_t>(system.totalram) * system.mem_unit)
      .member("uptimeMilliseconds",
              static_cast<std::int64_t>(up.tv_sec * 1000 + up.tv_nsec / 1000000))
      .end_object()
      .take();
}

// "MemFree:   12 kB" of proc(5), meminfo.
std::uint64_t bytes_of(std::string_view meminfo, std::string_view name) {
  for (const std::string_view line : split(meminfo, '\n')) {
    if (!line.starts_with(name) || !line.substr(name.size()).starts_with(':')) continue;
    std::string_view value = trim(line.substr(name.size() + 1));
    if (value.ends_with(" kB")) value.remove_suffix(3);
    return parse_u64(value).value_or(0) << 10;
  }
  return 0;
}

struct CpuTime {
  std::uint64_t total = 0, idle = 0;
};

// The first line of proc(5), stat: "cpu  user nice system idle iowait ...".
CpuTime cpu_time(std::string_view stat) {
  CpuTime time;
  std::size_t column = 0;
  for (const std::string_view word : split(stat.substr(0, stat.find('\n')), ' ')) {
    const auto ticks = parse_u64(word);
    if (!ticks) continue;
    if (column == 3 || column == 4) time.idle += *ticks;
    if (column < 8) time.total += *ticks;  // guest time is in user time already
    ++column;
  }
  return time;
}

constexpr std::size_t kMostText = 64 << 10, kMostWords = 4 << 10, kMostProcesses = kMostContent / 2;

// What the host shows of each is in these lines.
std::string shown_of(std::string_view status) {
  std::string lines;
  for (const std::string_view line : split(status, '\n')) {
    for (const std::string_view name :
         {"Name:", "State:", "Pid:", "Uid:", "NSpid:", "VmRSS:", "Threads:"}) {
      if (line.starts_with(name)) lines.append(line).push_back('\n');
    }
  }
  return lines;
}

// Of a system that we serve: all processes but the kernel's own threads, which have no memory.
Result<std::vector<Pid>> all_processes() {
  const Fd proc = TRY(sys::open_dir(At::cwd(), "/proc"));
  std::vector<Pid> pids;
  for (const std::string& name : TRY(sys::list_dir(proc.get()))) {
    const auto number = parse_u64(name);
    if (!number || *number > INT32_MAX) continue;
    const Result<std::string> memory = fs::read_file(proc, name + "/statm", 4096);
    if (memory && !memory->starts_with("0 ")) pids.emplace_back(static_cast<pid_t>(*number));
  }
  std::sort(pids.begin(), pids.end(), [](Pid a, Pid b) { return a.value < b.value; });
  return pids;
}

Result<std::vector<Pid>> processes_of(const Settings& settings) {
  return settings.system ? all_processes() : runtime::processes(settings.runtime, kGuestName);
}

// Processes end while we look: those are left out. So is what does not fit into an answer.
Result<std::string> processes(const Settings& settings) {
  json::Writer w;
  w.begin_object().key("processes").begin_array();
  std::size_t bytes = 0;
  for (const Pid pid : TRY(processes_of(settings))) {
    const std::string dir = "/proc/" + std::to_string(pid.value);
    const Result<std::string> status = fs::read_file(At::cwd(), dir + "/status", kMostText);
    const Result<std::string> stat = fs::read_file(At::cwd(), dir + "/stat", kMostText);
    if (!status || !stat) continue;
    std::string words = fs::read_file(At::cwd(), dir + "/cmdline", 4 << 20).value_or("");
    words.resize(std::min(words.size(), kMostWords));
    std::replace(words.begin(), words.end(), '\0', ' ');
    words.resize(words.find_last_not_of(' ') + 1);
    const std::string lines = shown_of(*status);
    // A byte of the command line may take six in JSON.
    bytes += lines.size() + stat->size() + 6 * words.size() + 100;
    if (bytes > kMostProcesses) break;
    w.begin_object().member("status", lines).member("stat", *stat);
    w.member("commandLine", words).end_object();
  }
  return w.end_array().end_object().take();
}

Result<std::string> stats(const Settings& settings) {
  const std::string memory = TRY(fs::read_file(At::cwd(), "/proc/meminfo", 64 << 10));
  const std::string cpu = TRY(fs::read_file(At::cwd(), "/proc/stat", 1 << 20));
  const CpuTime time = cpu_time(cpu);
  json::Writer w;
  w.begin_object().key("memory").begin_object();
  w.member("total", bytes_of(memory, "MemTotal")).member("free", bytes_of(memory, "MemFree"));
  w.member("available", bytes_of(memory, "MemAvailable")).end_object();
  w.key("cpu").begin_object().member("total", time.total).member("idle", time.idle).end_object();
  const Result<std::vector<Pid>> pids = processes_of(settings);
  if (pids) w.member("processes", pids->size());
  return w.end_object().take();
}

// For the host, which finds users in them as it does in a container's.
Result<std::string> accounts() {
  constexpr std::size_t kMost = 512 << 10;
  json::Writer w;
  w.begin_object();
  for (const char* name : {"passwd", "group"}) {
    Result<std::string> text = fs::read_file(At::cwd(), std::string("/etc/") + name, kMost);
    if (!text && text.error().code() != Code::kNotFound) return std::move(text).error();
    w.member(name, text ? std::string_view(*text) : std::string_view());
  }
  return w.end_object().take();
}

Result<std::string> set_clock(const CallRequest& request) {
  const timespec now{.tv_sec = request.seconds, .tv_nsec = request.nanoseconds};
  if (::clock_settime(CLOCK_REALTIME, &now) != 0) return Error::system(errno, "set the clock");
  return std::string("{}");
}

Result<std::string> change_network(const CallRequest& request) {
  if (!request.network) return Error(Code::kInvalid, "kCall: " + request.call + " without network");
  TRY(request.call == "add-card" ? configure_new(*request.network)
                                 : make_way_out(*request.network));
  return std::string("{}");
}

// Files that nobody uses are given back to the host, which can unmount what they are on then.
Result<std::string> forget_files() {
  ::sync();
  TRY(fs::write_value(At::cwd(), "/proc/sys/vm/drop_caches", "3"));
  return std::string("{}");
}

// In this process, which is the connection's own: it ends when it is too late.
Result<std::string> probe(const CallRequest& request) {
  const itimerval end{{}, {request.milliseconds / 1000, (request.milliseconds % 1000) * 1000}};
  ::setitimer(ITIMER_REAL, &end, nullptr);
  const std::string fault = TRY(network::probe_port({request.http, request.port, request.path}));
  return json::Writer().begin_object().member("fault", fault).end_object().take();
}

}  // namespace

std::uint32_t memory_kills() {
  const Result<std::string> text = fs::read_file(At::cwd(), "/proc/vmstat", 64 << 10);
  constexpr std::string_view kName = "oom_kill ";
  for (const std::string_view line : split(text ? std::string_view(*text) : "", '\n')) {
    if (line.starts_with(kName))
      return static_cast<std::uint32_t>(parse_u64(line.substr(kName.size())).value_or(0));
  }
  return 0;
}

Result<std::string> answer(const CallRequest& request, const Settings& settings) {
  const bool booted = settings.booted;
  if (request.call == "info") return info();
  if (request.call == "stats") return stats(settings);
  if (request.call == "processes") return processes(settings);
  if (request.call == "probe") return probe(request);
  if (request.call == "accounts") return accounts();
  const bool is_network = request.call == "add-card" || request.call == "way-out";
  const bool clock = request.call == "set-clock";
  const bool files = request.call == "forget-files";
  if (!is_network && !clock && !files && request.call != "power-off")
    return Error(Code::kInvalid, "kCall: there is no call " + quote(request.call))
        .hint(
            "info, stats, processes, probe, accounts, set-clock, add-card, way-out, forget-files, "
            "power-off");
  // The power of a system is its init's, and so is its network.
  if (!booted && !(settings.system && clock)) return not_booted(request.call);
  if (is_network) return change_network(request);
  if (clock) return set_clock(request);
  if (files) return forget_files();
  return std::string("{}");
}

}  // namespace vrun::vm
