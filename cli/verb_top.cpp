// `vrun top`: the processes of a guest, by both their numbers.
#include <algorithm>
#include <ctime>
#include <thread>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/output.hpp"
#include "cli/process_row.hpp"
#include "cli/ps_table.hpp"
#include "cli/stats_sample.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_tools.hpp"
#include "engine/disk_agent.hpp"
#include "engine/micro_vm.hpp"
#include "engine/micro_vm_call.hpp"

namespace vrun::cli {
namespace {

using engine::Guest;
using engine::Guests;

constexpr std::size_t kMostText = 1U << 16U;

void sort_rows(std::vector<ProcessRow>& rows) {
  std::sort(rows.begin(), rows.end(),
            [](const ProcessRow& a, const ProcessRow& b) { return a.outside < b.outside; });
}

// Of a micro-VM: the numbers are those of its own kernel.
Result<std::vector<ProcessRow>> rows_inside(const Guests& guests, const Guest& guest) {
  std::vector<ProcessRow> rows;
  constexpr std::int64_t kTicks = 100;  // USER_HZ of x86
  for (const engine::MachineProcess& one : TRY(engine::machine_processes(guests, guest.record))) {
    auto row = parse_process({one.status, one.stat, one.command_line}, 0, kTicks);
    if (row) rows.push_back(*std::move(row));
  }
  sort_rows(rows);
  return rows;
}

// Processes end while we read: those are left out.
std::vector<ProcessRow> rows_outside(const std::vector<Pid>& pids, const Guest& guest) {
  std::vector<ProcessRow> rows;
  for (const Pid pid : pids) {
    const std::string dir = "/proc/" + std::to_string(pid.value);
    const Result<std::string> status = fs::read_file(At::cwd(), dir + "/status", kMostText);
    const Result<std::string> stat = fs::read_file(At::cwd(), dir + "/stat", kMostText);
    const Result<std::string> words = fs::read_file(At::cwd(), dir + "/cmdline", 4U << 20U);
    if (!status || !stat) continue;
    const bool shifted = guest.record.request.userns != "host";
    auto row = parse_process({*status, *stat, words ? *words : ""},
                             shifted ? guest.record.outside_root() : 0, ::sysconf(_SC_CLK_TCK));
    if (row) rows.push_back(*std::move(row));
  }
  sort_rows(rows);
  return rows;
}

Result<std::vector<ProcessRow>> rows_of(const Guests& guests, const Guest& guest) {
  const bool inside =
      engine::is_micro_vm(guest.record.request) && guest.status == engine::GuestStatus::kRunning;
  if (inside) TRY(engine::find_agent(guests, guest.record, "top"));
  if (inside) return rows_inside(guests, guest);
  return rows_outside(TRY(runtime::processes(guests.context(), guest.record.id)), guest);
}

std::string as_table(const std::vector<ProcessRow>& rows) {
  std::vector<std::vector<std::string>> cells{
      {"PID", "INSIDE", "UID", "STATE", "THREADS", "MEMORY", "TIME", "COMMAND"}};
  for (const ProcessRow& row : rows) {
    cells.push_back({std::to_string(row.outside), std::to_string(row.inside),
                     std::to_string(row.uid), std::string(1, row.state),
                     std::to_string(row.threads), binary_size(row.memory), clock_text(row.cpu_ms),
                     row.command});
  }
  return table(cells);
}

std::string as_json(const std::vector<ProcessRow>& rows) {
  json::Writer writer(json::Style::kSpaces);
  writer.begin_array();
  for (const ProcessRow& row : rows) {
    writer.begin_object().member("pid", row.outside).member("inside", row.inside);
    writer.member("uid", row.uid).member("state", std::string_view(&row.state, 1));
    writer.member("threads", row.threads).member("memory", row.memory);
    writer.member("cpuMilliseconds", row.cpu_ms).member("command", row.command).end_object();
  }
  writer.end_array();
  return writer.take();
}

}  // namespace

// `top GUEST aux`: the host's ps, cut down to the guest's processes.
Result<int> top_by_ps(const EverydayCall& call) {
  const Guests guests = TRY(guests_of(call));
  const Guest guest = TRY(guests.find(call.arguments.word(0)));
  if (!guest.runs()) {
    return Error(Code::kState, "guest " + quote(guest.record.name) + " is not running (" +
                                   engine::to_text(guest.status) + ")");
  }
  const auto& words = call.arguments.words();
  const std::vector<std::string> options(words.begin() + 1, words.end());
  const std::string output = TRY(run_ps(options, call.host.env));
  const std::vector<Pid> pids = TRY(runtime::processes(guests.context(), guest.record.id));
  const std::string table = TRY(ps_table(output, pids));
  TRY(sys::write_all(STDOUT_FILENO, table));
  return 0;
}

Result<int> everyday_top(const EverydayCall& call) {
  if (call.arguments.words().size() > 1) return top_by_ps(call);
  const Form form = TRY(form_of(call.arguments));
  const bool live =
      form == Form::kTable && !call.arguments.on("no-stream") && ::isatty(STDOUT_FILENO) == 1;
  const auto interval = call.arguments.duration("interval");
  if (interval < std::chrono::milliseconds(50)) {
    return Error(Code::kInvalid, "--interval: below 50ms");
  }
  const Guests guests = TRY(guests_of(call));
  LiveView view(live);
  bool seen = false;
  while (true) {
    const Guest guest = TRY(guests.find(call.arguments.word(0)));
    if (!guest.runs()) {
      if (seen) return 0;  // its end is the end of the view
      return Error(Code::kState, "guest " + quote(guest.record.name) + " is not running (" +
                                     engine::to_text(guest.status) + ")");
    }
    const std::vector<ProcessRow> rows = TRY(rows_of(guests, guest));
    if (form == Form::kTable) {
      TRY(view.show(as_table(rows)));
    } else {
      const std::string text = TRY(document(form, as_json(rows)));
      TRY(sys::write_all(STDOUT_FILENO, text));
    }
    if (!live) return 0;
    seen = true;
    std::this_thread::sleep_for(interval);
  }
}

}  // namespace vrun::cli
