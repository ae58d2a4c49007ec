#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "cli/oci.hpp"
#include "cli/update_resources.hpp"
#include "engine/oci_machine.hpp"
#include "oci/reader.hpp"

namespace vrun::cli {
namespace {

Result<oci::Resources> read_resources(const std::string& path) {
  const bool from_stdin = path == "-";
  const Result<std::string> json =
      fs::read_file(At::cwd(), from_stdin ? "/dev/stdin" : path, oci::kMaxConfigBytes,
                    from_stdin ? fs::Kind::kAny : fs::Kind::kRegularOnly);
  if (!json) return Error(json.error().code(), "flag --resources: " + json.error().text());
  return oci::parse_resources(*json, from_stdin ? "stdin" : path);
}

void warn_of_obsolete(const Arguments& given) {
  for (const char* flag : {"kernel-memory", "kernel-memory-tcp"}) {
    if (given.has(flag)) {
      log::warning("flag --" + std::string(flag) +
                   " has no effect: kernel memory is part of --memory");
    }
  }
}

}  // namespace

Result<int> oci_update(const OciCall& call) {
  const Arguments& given = call.arguments;
  const std::string id = given.word(0);
  const oci::Resources resources = given.has("resources")
                                       ? TRY(read_resources(given.text("resources")))
                                       : TRY(resources_of(given));
  warn_of_obsolete(given);
  if (engine::is_machine(call.context, id) && (resources.memory || resources.pids_limit)) {
    return Error(Code::kUnsupported,
                 "the memory and the processes of a micro-VM are not limited by its group")
        .hint("they are those of config.json at its start");
  }
  TRY(runtime::update(call.context, id, resources));
  if (given.has("l3-cache-schema") || given.has("mem-bw-schema")) {
    oci::IntelRdt rdt;
    rdt.l3_cache_schema = given.text("l3-cache-schema");
    rdt.mem_bw_schema = given.text("mem-bw-schema");
    TRY(runtime::update_intel_rdt(call.context, id, rdt));
  }
  return 0;
}

}  // namespace vrun::cli
