#include "vm/agent/report.hpp"

#include "base/json_table.hpp"
#include "base/text.hpp"

namespace vrun::vm {

constexpr auto json_fields(const EndReport*) {
  return json::fields(json::field("signal", &EndReport::signal, {.max = 64}),
                      json::field("memoryKills", &EndReport::memory_kills),
                      json::field("lost", &EndReport::lost),
                      json::field("checkpointed", &EndReport::checkpointed));
}

std::string to_json(const EndReport& report) {
  return json::write(report);
}

Result<EndReport> parse_report(std::string_view json) {
  if (json.size() > kMostReport) return Error(Code::kInvalid, "the report of an end is too large");
  EndReport report = TRY(json::read<EndReport>(json, "report"));
  report.lost = printable(report.lost);
  return report;
}

}  // namespace vrun::vm
