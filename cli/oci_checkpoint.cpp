// checkpoint and restore: the flags as runtime/checkpoint.hpp wants them.
#include <array>

#include "base/text.hpp"
#include "cli/oci.hpp"
#include "engine/oci_machine.hpp"
#include "runtime/checkpoint.hpp"

namespace vrun::cli {
namespace {

Result<runtime::CriuOptions> criu_options(const OciCall& call) {
  const Arguments& given = call.arguments;
  constexpr std::array<std::string_view, 5> kModes{"", "soft", "full", "strict", "ignore"};
  runtime::CriuOptions criu{
      .criu = call.globals.text("criu"),
      .image_path = given.has("image-path") ? given.text("image-path") : "checkpoint",
      .work_path = given.text("work-path"),
      .tcp_established = given.on("tcp-established"),
      .ext_unix_sk = given.on("ext-unix-sk"),
      .shell_job = given.on("shell-job"),
      .file_locks = given.on("file-locks"),
      .auto_dedup = given.on("auto-dedup"),
      .lazy_pages = given.on("lazy-pages"),
      .manage_cgroups_mode = given.text("manage-cgroups-mode"),
      .empty_ns = given.list("empty-ns"),
  };
  for (const std::string_view mode : kModes) {
    if (criu.manage_cgroups_mode == mode) return criu;
  }
  return Error(Code::kInvalid, "flag --manage-cgroups-mode: " + quote(criu.manage_cgroups_mode) +
                                   " is not soft, full, strict or ignore");
}

}  // namespace

Result<int> oci_checkpoint(const OciCall& call) {
  const Arguments& given = call.arguments;
  if (engine::is_machine(call.context, given.word(0))) {
    return Error(Code::kUnsupported,
                 "CRIU knows nothing of a virtual machine's memory and devices");
  }
  const runtime::CheckpointOptions options{
      .id = given.word(0),
      .criu = TRY(criu_options(call)),
      .parent_path = given.text("parent-path"),
      .leave_running = given.on("leave-running"),
      .pre_dump = given.on("pre-dump"),
      .status_fd = static_cast<int>(given.number("status-fd")),
      .page_server = given.text("page-server"),
  };
  TRY(runtime::checkpoint(call.context, options));
  return 0;
}

Result<int> oci_restore(const OciCall& call) {
  const Arguments& given = call.arguments;
  return runtime::restore(call.context, {.create = TRY(create_options(call)),
                                         .criu = TRY(criu_options(call)),
                                         .detach = given.on("detach"),
                                         .lsm_profile = given.text("lsm-profile"),
                                         .lsm_mount_context = given.text("lsm-mount-context")});
}

}  // namespace vrun::cli
