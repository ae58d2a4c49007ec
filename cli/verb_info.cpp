// `vrun info` and `vrun version`.
#include <array>

#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/help.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_tools.hpp"
#include "engine/doctor.hpp"

namespace vrun::cli {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

std::string kernel_text() {
  utsname name{};
  if (::uname(&name) != 0) return "unknown";
  return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

// "commit: abc" of the lines that engines parse.
std::string commit_text() {
  const std::string text = version_text();
  for (const std::string_view line : split(text, '\n')) {
    constexpr std::string_view kKey = "commit: ";
    if (line.starts_with(kKey)) return std::string(line.substr(kKey.size()));
  }
  return "unknown";
}

std::string helpers_text() {
  std::string found;
  for (const char* name : engine::kHelpers) {
    if (helper_path(name)) found += (found.empty() ? "" : ", ") + std::string(name);
  }
  return found.empty() ? "none" : found;
}

// Which engine, and why; why none.
std::string micro_vms_text(const engine::HostFacts& facts) {
  const Result<vm::EngineChoice> choice = vm::choose_engine(facts.micro_vms);
  if (!choice) return choice.error().text();
  return std::string(vm::to_text(choice->engine)) + ": " + choice->reason;
}

Result<int> print(const Rows& rows, Form form) {
  if (form == Form::kTable) {
    std::vector<std::vector<std::string>> cells;
    for (const auto& [name, value] : rows)
      cells.push_back({name + ":", value});
    TRY(sys::write_all(STDOUT_FILENO, table(cells)));
    return 0;
  }
  json::Writer writer(json::Style::kSpaces);
  writer.begin_object();
  for (const auto& [name, value] : rows) {
    const auto number = parse_u64(value);
    number ? writer.member(name, *number) : writer.member(name, value);
  }
  writer.end_object();
  const std::string text = TRY(document(form, writer.take()));
  TRY(sys::write_all(STDOUT_FILENO, text));
  return 0;
}

struct Counts {
  std::size_t running = 0, paused = 0, other = 0;
};

Result<Counts> count_guests(const engine::Guests& guests) {
  Counts counts;
  for (const engine::Guest& guest : TRY(guests.list())) {
    if (guest.status == engine::GuestStatus::kPaused) {
      ++counts.paused;
    } else if (guest.runs()) {
      ++counts.running;
    } else {
      ++counts.other;
    }
  }
  return counts;
}

}  // namespace

Result<int> everyday_version(const EverydayCall& call) {
  const Form form = TRY(form_of(call.arguments));
  return print({{"version", VRUN_VERSION},
                {"commit", commit_text()},
                {"specification", "1.3.0"},
                {"helpers", helpers_text()},
                {"kernel", kernel_text()}},
               form);
}

Result<int> everyday_info(const EverydayCall& call) {
  const Form form = TRY(form_of(call.arguments));
  const engine::Guests guests = TRY(guests_of(call));
  const Counts counts = TRY(count_guests(guests));
  const engine::HostFacts facts = engine::look_at_host(call.places, call.host);
  struct sysinfo memory {};
  ::sysinfo(&memory);
  return print(
      {{"version", VRUN_VERSION},
       {"kernel", kernel_text()},
       {"cpus", std::to_string(::sysconf(_SC_NPROCESSORS_ONLN))},
       {"memory", binary_size(static_cast<std::uint64_t>(memory.totalram) * memory.mem_unit)},
       {"cgroups", facts.cgroup_words},
       {"controllers", join(facts.controllers, " ")},
       {"data", call.places.data},
       {"filesystem", facts.data_filesystem},
       {"micro-vms", micro_vms_text(facts)},
       {"run", call.places.run},
       {"images", call.places.images},
       {"helpers", helpers_text()},
       {"tenant", guests.tenant()},
       {"running", std::to_string(counts.running)},
       {"paused", std::to_string(counts.paused)},
       {"stopped", std::to_string(counts.other)}},
      form);
}

}  // namespace vrun::cli
