// `vrun tenant usage`, `vrun tenant top`, `vrun metrics`: what tenants have used and use now.
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>

#include <unistd.h>

#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/metrics_server.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cli/verb_tenant.hpp"
#include "engine/tenant_admin.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/tenant_usage.hpp"
#include "tenants/usage.hpp"

namespace vrun::cli {
namespace {

using tenants::GuestUsage;
using tenants::Tenant;
using tenants::Usage;

Result<int> print(const std::string& text) {
  TRY(sys::write_all(STDOUT_FILENO, text));
  return 0;
}

// Three digits behind the point, whatever the locale.
std::string number(double value) {
  std::array<char, 64> text{};
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, 3);
  return error == std::errc() ? std::string(text.data(), end) : "0";
}

struct Column {
  const char* json;
  const char* table;
  double (*value)(const Usage&);
};
constexpr std::array kColumns{
    Column{"cpuSeconds", "CPU-S", [](const Usage& u) { return u.cpu_seconds; }},
    Column{"memoryGiBHours", "MEM-GIB-H", [](const Usage& u) { return u.memory_gib_hours(); }},
    Column{"diskGiBHours", "DISK-GIB-H", [](const Usage& u) { return u.disk_gib_hours(); }},
    Column{"ioReadBytes", "IO-READ-B", [](const Usage& u) { return std::round(u.io_read); }},
    Column{"ioWrittenBytes", "IO-WRITE-B", [](const Usage& u) { return std::round(u.io_written); }},
    Column{"ioReads", "IO-READS", [](const Usage& u) { return std::round(u.io_reads); }},
    Column{"ioWrites", "IO-WRITES", [](const Usage& u) { return std::round(u.io_writes); }},
    Column{"networkInBytes", "NET-IN-B", [](const Usage& u) { return std::round(u.net_in); }},
    Column{"networkOutBytes", "NET-OUT-B", [](const Usage& u) { return std::round(u.net_out); }},
    Column{"starts", "STARTS", [](const Usage& u) { return static_cast<double>(u.starts); }},
};

bool is_whole(const Column& column) {
  return std::string_view(column.table).ends_with("-B") ||
         std::string_view(column.json).starts_with("io") ||
         std::string_view(column.json) == "starts";
}

std::string cell(const Column& column, const Usage& usage) {
  const double value = column.value(usage);
  return is_whole(column) ? std::to_string(static_cast<std::uint64_t>(value)) : number(value);
}

struct Row {
  std::string id, name;
  Usage usage;
};

void write_usage(json::Writer& w, const Usage& usage) {
  for (const Column& column : kColumns) {
    const double value = column.value(usage);
    if (is_whole(column))
      w.member(column.json, static_cast<std::uint64_t>(value));
    else
      w.member(column.json, value);
  }
}

std::string as_json(const std::string& tenant, const std::vector<Row>& guests, const Usage& all) {
  json::Writer w(json::Style::kSpaces);
  w.begin_object().member("tenant", std::string_view(tenant));
  w.key("total").begin_object();
  write_usage(w, all);
  w.end_object().key("guests").begin_array();
  for (const Row& row : guests) {
    w.begin_object().member("id", std::string_view(row.id));
    w.member("name", std::string_view(row.name));
    write_usage(w, row.usage);
    w.end_object();
  }
  w.end_array().end_object();
  return w.take() + "\n";
}

std::vector<std::vector<std::string>> as_rows(const std::vector<Row>& guests, const Usage& all,
                                              bool csv) {
  std::vector<std::vector<std::string>> rows(1);
  rows[0] = {csv ? "guest" : "GUEST", csv ? "name" : "NAME"};
  for (const Column& column : kColumns)
    rows[0].emplace_back(csv ? column.json : column.table);
  const auto add = [&](const std::string& id, const std::string& name, const Usage& usage) {
    std::vector<std::string> line{id, name};
    for (const Column& column : kColumns)
      line.push_back(cell(column, usage));
    rows.push_back(std::move(line));
  };
  for (const Row& row : guests)
    add(csv ? row.id : row.id.substr(0, 12), row.name, row.usage);
  add(csv ? "" : "total", "", all);
  return rows;
}

// Names and ids have no commas, quotes or blanks.
std::string as_csv(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i)
      text += (i == 0 ? "" : ",") + row[i];
    text += "\n";
  }
  return text;
}

}  // namespace

Result<int> tenant_usage(const EverydayCall& call) {
  const std::string form = call.arguments.text("format");
  if (form != "table" && form != "json" && form != "csv") {
    return Error(Code::kInvalid, "--format " + quote(form) + ": not table, json or csv");
  }
  std::int64_t from = 0, to = std::numeric_limits<std::int64_t>::max();
  if (call.arguments.has("from"))
    from = TRY(engine::parse_usage_time("--from", call.arguments.text("from")));
  if (call.arguments.has("to"))
    to = TRY(engine::parse_usage_time("--to", call.arguments.text("to")));
  if (from > to) return Error(Code::kInvalid, "--from is later than --to");
  const Tenant tenant = TRY(engine::tenant_store(call.places).find(call.arguments.word(0)));
  const engine::Guests guests = TRY(engine::Guests::open(call.places, tenant.name, call.host));
  TRY(engine::sample_usage(guests));
  const auto records =
      TRY(tenants::read_usage(engine::tenant_store(call.places).path_of(tenant.name)));
  std::vector<Row> rows;
  Usage all;
  double kept = 0;  // volumes, images and guests that have ended, too
  for (auto& [id, guest] : tenants::sum_usage(records, from, to)) {
    if (id == tenants::kWholeTenant) {
      kept = guest.usage.disk_byte_seconds;
      continue;
    }
    all.add(guest.usage);
    rows.push_back({id, std::move(guest.name), guest.usage});
  }
  all.disk_byte_seconds = std::max(all.disk_byte_seconds, kept);
  if (form == "json") return print(as_json(tenant.name, rows, all));
  const auto lines = as_rows(rows, all, form == "csv");
  return print(form == "csv" ? as_csv(lines) : table(lines));
}

// ---- now ----

namespace {

struct Look {
  Tenant tenant;
  engine::TenantState state;
  cgroups::Stats stats;
  bool has_group = false;
  std::uint64_t images = 0;  // what they count for in the disk budget
};

Result<Look> look_at(const EverydayCall& call, const Tenant& tenant) {
  Look look{tenant, TRY(engine::look_at_tenant(call.places, tenant, call.host)), {}, false, 0};
  look.images = engine::noted_images(call.places, tenant);
  const auto group = tenants::TenantGroup::find(call.places.run, tenant.name, call.host);
  if (!group) return look;
  look.stats = TRY(group->stats());
  look.has_group = true;
  return look;
}

Result<std::vector<Tenant>> wanted(const EverydayCall& call) {
  const tenants::Store store = engine::tenant_store(call.places);
  std::vector<Tenant> all;
  for (const std::string_view word : call.arguments.words())
    all.push_back(TRY(store.find(word)));
  if (!all.empty()) return all;
  all = TRY(store.list());
  std::erase_if(all, [](const Tenant& tenant) { return tenant.is_default(); });
  return all;
}

std::uint64_t cpu_ns(const Look& look) {
  return look.stats.cpu ? look.stats.cpu->usage_ns : 0;
}

}  // namespace

Result<int> tenant_top(const EverydayCall& call) {
  const std::vector<Tenant> all = TRY(wanted(call));
  std::vector<Look> before;
  for (const Tenant& tenant : all)
    before.push_back(TRY(look_at(call, tenant)));
  const auto start = std::chrono::steady_clock::now();
  TRY(sys::poll({}, 1000));
  std::vector<std::vector<std::string>> rows{
      {"TENANT", "STATE", "GUESTS", "CPU", "OF", "MEMORY", "OF", "PIDS", "OF"}};
  for (const Look& old : before) {
    const Look now = TRY(look_at(call, old.tenant));
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double used = static_cast<double>(cpu_ns(now) - std::min(cpu_ns(old), cpu_ns(now))) / 1e9;
    const tenants::Budget& budget = now.tenant.budget;
    rows.push_back(
        {now.tenant.name, state_word(now.state),
         std::to_string(now.state.running) + "/" + std::to_string(now.state.guests),
         percent(used / seconds * 100),
         budget.cpu_milli == 0 ? "-" : percent(static_cast<double>(budget.cpu_milli) / 10),
         now.stats.memory ? binary_size(now.stats.memory->usage) : "-",
         budget.memory == 0 ? "-" : binary_size(budget.memory),
         now.stats.pids ? std::to_string(now.stats.pids->current) : "-",
         budget.pids == 0 ? "-" : std::to_string(budget.pids)});
  }
  return print(table(rows));
}

// ---- Prometheus ----

namespace {

// The text exposition format: a HELP and a TYPE line, then one line for each set of labels.
class Exposition {
 public:
  void metric(const char* name, const char* type, const char* help) {
    text_ += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
    name_ = name;
  }
  // Names of tenants need no escapes.
  void value(const std::string& tenant, const std::string& text) {
    text_ += name_ + "{tenant=\"" + tenant + "\"} " + text + "\n";
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_, name_;
};

struct Metric {
  const char* name;
  const char* type;
  const char* help;
  // Empty: not known of this tenant.
  std::string (*value)(const Look&);
};

std::string text_of(std::uint64_t value) {
  return std::to_string(value);
}
std::string limit_of(std::uint64_t value) {
  return value == 0 ? "" : std::to_string(value);
}
std::uint64_t sum(const std::vector<cgroups::BlkioEntry>& entries, std::string_view op) {
  std::uint64_t all = 0;
  for (const cgroups::BlkioEntry& one : entries)
    all += one.op == op ? one.value : 0;
  return all;
}

constexpr std::array kMetrics{
    Metric{"vrun_tenant_guests", "gauge", "Guests that exist.",
           [](const Look& l) { return l.state.no_disk ? "" : text_of(l.state.guests); }},
    Metric{"vrun_tenant_guests_running", "gauge", "Guests that run.",
           [](const Look& l) { return l.state.no_disk ? "" : text_of(l.state.running); }},
    Metric{"vrun_tenant_frozen", "gauge", "1 while the tenant is frozen.",
           [](const Look& l) { return text_of(l.state.frozen ? 1 : 0); }},
    Metric{"vrun_tenant_cpu_seconds_total", "counter", "CPU time used since the group was made.",
           [](const Look& l) {
             return l.stats.cpu ? number(static_cast<double>(l.stats.cpu->usage_ns) / 1e9) : "";
           }},
    Metric{"vrun_tenant_cpu_limit_cpus", "gauge", "CPU time of the budget, in CPUs.",
           [](const Look& l) {
             const std::uint64_t milli = l.tenant.budget.cpu_milli;
             return milli == 0 ? "" : number(static_cast<double>(milli) / 1000);
           }},
    Metric{"vrun_tenant_cpu_throttled_seconds_total", "counter",
           "Time in which processes had to wait for the budget.",
           [](const Look& l) {
             return l.stats.cpu ? number(static_cast<double>(l.stats.cpu->throttled_ns) / 1e9) : "";
           }},
    Metric{"vrun_tenant_memory_bytes", "gauge", "Memory in use.",
           [](const Look& l) { return l.stats.memory ? text_of(l.stats.memory->usage) : ""; }},
    Metric{"vrun_tenant_memory_limit_bytes", "gauge", "Memory of the budget.",
           [](const Look& l) { return limit_of(l.tenant.budget.memory); }},
    Metric{"vrun_tenant_oom_kills_total", "counter", "Processes killed for memory.",
           [](const Look& l) { return l.stats.memory ? text_of(l.stats.memory->oom_kills) : ""; }},
    Metric{"vrun_tenant_processes", "gauge", "Processes and threads.",
           [](const Look& l) { return l.stats.pids ? text_of(l.stats.pids->current) : ""; }},
    Metric{"vrun_tenant_processes_limit", "gauge", "Processes and threads of the budget.",
           [](const Look& l) { return limit_of(l.tenant.budget.pids); }},
    Metric{"vrun_tenant_disk_limit_bytes", "gauge", "Disk of the budget.",
           [](const Look& l) { return limit_of(l.tenant.budget.disk); }},
    Metric{"vrun_tenant_images_bytes", "gauge", "What images count for in the disk budget.",
           [](const Look& l) { return l.tenant.disk.empty() ? "" : text_of(l.images); }},
    Metric{"vrun_tenant_io_read_bytes_total", "counter", "Bytes read from disks.",
           [](const Look& l) { return l.stats.io ? text_of(sum(l.stats.io->bytes, "Read")) : ""; }},
    Metric{
        "vrun_tenant_io_written_bytes_total", "counter", "Bytes written to disks.",
        [](const Look& l) { return l.stats.io ? text_of(sum(l.stats.io->bytes, "Write")) : ""; }},
};

}  // namespace

namespace {

Result<std::string> metrics_text(const EverydayCall& call) {
  std::vector<Look> looks;
  for (const Tenant& tenant : TRY(wanted(call)))
    looks.push_back(TRY(look_at(call, tenant)));
  Exposition out;
  for (const Metric& metric : kMetrics) {
    out.metric(metric.name, metric.type, metric.help);
    for (const Look& look : looks) {
      const std::string value = metric.value(look);
      if (!value.empty()) out.value(look.tenant.name, value);
    }
  }
  return out.take();
}

}  // namespace

Result<int> tenant_metrics(const EverydayCall& call) {
  const std::string where = call.arguments.text("listen");
  if (where.empty()) return print(TRY(metrics_text(call)));
  const Fd listener = TRY(listen_for_metrics(where, call.host));
  TRY(print("listening on " + address_of(listener) + "\n"));
  TRY(serve_metrics(listener, [&] { return metrics_text(call); }));
  if (where.starts_with("unix:")) static_cast<void>(sys::unlink(At::cwd(), where.substr(5)));
  return 0;
}

}  // namespace vrun::cli
