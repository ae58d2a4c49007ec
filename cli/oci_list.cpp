// list and ps: tables for people, JSON for programs.
#include "base/text.hpp"
#include "cli/oci.hpp"
#include "cli/oci_json.hpp"
#include "cli/ps_table.hpp"
#include "cli/table.hpp"

namespace vrun::cli {
namespace {

std::string list_table(const std::vector<runtime::Info>& containers) {
  std::vector<std::vector<std::string>> rows{{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
  UserNames owners;
  for (const runtime::Info& info : containers) {
    rows.push_back({info.id, std::to_string(info.pid.value), runtime::to_text(info.status),
                    info.bundle, info.created, owners.of(info.owner)});
  }
  return table(rows);
}

std::string ids(const std::vector<runtime::Info>& containers) {
  std::string out;
  for (const runtime::Info& info : containers)
    out += info.id + '\n';
  return out;
}

}  // namespace

Result<Format> output_format(const Arguments& arguments) {
  const std::string format = arguments.text("format");
  if (format == "table") return Format::kTable;
  if (format == "json") return Format::kJson;
  return Error(Code::kInvalid, "flag --format: " + quote(format) + " is an invalid format option")
      .hint("use table or json");
}

Result<int> oci_list(const OciCall& call) {
  const Format format = TRY(output_format(call.arguments));
  const std::vector<runtime::Info> containers = TRY(runtime::list(call.context));
  if (call.arguments.on("quiet")) return print(ids(containers));
  return print(format == Format::kJson ? list_json(containers) : list_table(containers));
}

Result<int> oci_ps(const OciCall& call) {
  const Format format = TRY(output_format(call.arguments));
  const std::vector<Pid> pids = TRY(runtime::processes(call.context, call.arguments.word(0)));
  if (format == Format::kJson) return print(pids_json(pids));
  const auto& words = call.arguments.words();
  const std::vector<std::string> options(words.begin() + 1, words.end());
  const std::string output = TRY(run_ps(options, call.context.host.env));
  return print(TRY(ps_table(output, pids)));
}

}  // namespace vrun::cli
