// checkpoint and restore: the flags as runtime/checkpoint.hpp wants them.
#include <array>

#include "base/text.hpp"
#include "cli/oci.hpp"
#include "engine/oci_machine.hpp"
#include "runtime/checkpoint.hpp"

namespace vrun::cli {
namespace {

std::string image_path(const Arguments& given) {
  return given.has("image-path") ? given.text("image-path") : "checkpoint";
}

// CRIU's, and without meaning for a virtual machine.
Result<void> refuse_for_machine(const Arguments& given) {
  constexpr std::array<std::string_view, 15> kOfCriu{
      "work-path",  "parent-path", "tcp-established", "ext-unix-sk",         "shell-job",
      "lazy-pages", "status-fd",   "page-server",     "file-locks",          "pre-dump",
      "auto-dedup", "empty-ns",    "lsm-profile",     "manage-cgroups-mode", "lsm-mount-context"};
  std::vector<std::string> flags;
  for (const std::string_view flag : kOfCriu) {
    if (given.has(flag)) flags.push_back("--" + std::string(flag));
  }
  if (flags.empty()) return {};
  return Error(Code::kUnsupported,
               join(flags, ", ") + ": of CRIU, which has no part in a micro-VM's checkpoint");
}

Result<runtime::CriuOptions> criu_options(const OciCall& call) {
  const Arguments& given = call.arguments;
  constexpr std::array<std::string_view, 5> kModes{"", "soft", "full", "strict", "ignore"};
  runtime::CriuOptions criu{
      .criu = call.globals.text("criu"),
      .image_path = image_path(given),
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
    TRY(refuse_for_machine(given));
    TRY(engine::checkpoint_machine(call.context, {.id = given.word(0),
                                                  .image_path = image_path(given),
                                                  .leave_running = given.on("leave-running")}));
    return 0;
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
  if (engine::is_machine_image(image_path(given))) {
    TRY(refuse_for_machine(given));
    runtime::Context context = call.context;
    context.lower = engine::lower_to_saved_machine(context.host, image_path(given));
    return runtime::run(context,
                        {.create = TRY(create_options(call)), .detach = given.on("detach")});
  }
  return runtime::restore(call.context, {.create = TRY(create_options(call)),
                                         .criu = TRY(criu_options(call)),
                                         .detach = given.on("detach"),
                                         .lsm_profile = given.text("lsm-profile"),
                                         .lsm_mount_context = given.text("lsm-mount-context")});
}

}  // namespace vrun::cli
