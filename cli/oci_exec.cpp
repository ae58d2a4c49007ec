#include <limits>

#include "base/fs.hpp"
#include "base/text.hpp"
#include "cli/oci.hpp"
#include "engine/oci_machine.hpp"
#include "oci/reader.hpp"

namespace vrun::cli {
namespace {

// 32 bits without 2^32-1, which system calls take as "leave it": nothing may wrap to root.
Result<std::uint32_t> parse_id(std::string_view text, std::string_view flag) {
  const auto number = parse_u64(text);
  if (number && *number < std::numeric_limits<std::uint32_t>::max()) {
    return static_cast<std::uint32_t>(*number);
  }
  return Error(Code::kInvalid, "flag --" + std::string(flag) + ": " + quote(text) +
                                   " is not an id between 0 and 4294967294");
}

Result<void> read_user(std::string_view text, runtime::ExecOptions& options) {
  if (text.empty()) return {};
  const std::size_t colon = text.find(':');
  options.uid = Uid(TRY(parse_id(text.substr(0, colon), "user")));
  if (colon != std::string_view::npos)
    options.gid = Gid(TRY(parse_id(text.substr(colon + 1), "user")));
  return {};
}

Result<oci::Process> read_process(const std::string& path) {
  const bool from_stdin = path == "-";
  const Result<std::string> json =
      fs::read_file(At::cwd(), from_stdin ? "/dev/stdin" : path, oci::kMaxConfigBytes,
                    from_stdin ? fs::Kind::kAny : fs::Kind::kRegularOnly);
  if (!json) return Error(json.error().code(), "flag --process: " + json.error().text());
  return oci::parse_process(*json, from_stdin ? "stdin" : path);
}

// One sub-group for all controllers. runc also takes "CONTROLLER:PATH"; with the one tree of v2
// there is nothing for that to mean.
Result<std::string> sub_cgroup(const Arguments& given) {
  const std::vector<std::string> paths = given.list("cgroup");
  if (paths.empty()) return std::string();
  if (paths.size() > 1 || paths[0].find(':') != std::string::npos) {
    return Error(Code::kUnsupported, "flag --cgroup: a group for each controller cannot be chosen")
        .hint("give --cgroup once, as a path below the container's cgroup");
  }
  return paths[0];
}

Result<void> read_changes(const Arguments& given, runtime::ExecOptions& options) {
  for (std::size_t i = 1; i < given.words().size(); ++i)
    options.args.emplace_back(given.words()[i]);
  options.cwd = given.text("cwd");
  options.env = given.list("env");
  for (const std::string& entry : options.env) {
    const std::size_t equals = entry.find('=');
    if (equals != 0 && equals != std::string::npos) continue;
    return Error(Code::kInvalid, "flag --env: " + quote(entry) + " is not NAME=VALUE");
  }
  options.terminal = given.on("tty");
  TRY(read_user(given.text("user"), options));
  for (const std::string& gid : given.list("additional-gids")) {
    options.additional_gids.emplace_back(TRY(parse_id(gid, "additional-gids")));
  }
  options.process_label = given.text("process-label");
  options.apparmor = given.text("apparmor");
  options.no_new_privs = given.on("no-new-privs");
  options.capabilities = given.list("cap");
  return {};
}

}  // namespace

// As with runc, --process stands for itself: flags that describe a process are not mixed into it.
Result<int> oci_exec(const OciCall& call) {
  const Arguments& given = call.arguments;
  runtime::ExecOptions options;
  options.id = given.word(0);
  if (given.has("process")) {
    options.process = TRY(read_process(given.text("process")));
  } else if (given.words().size() < 2) {
    return Error(Code::kInvalid, "no command given")
        .hint("usage: vrun-oci exec [FLAGS] CONTAINER COMMAND [ARGUMENT...]");
  } else {
    TRY(read_changes(given, options));
  }
  options.cgroup = TRY(sub_cgroup(given));
  options.ignore_paused = given.on("ignore-paused");
  options.detach = given.on("detach");
  options.preserve_fds = TRY(preserved_fds(given, 3));
  options.console_socket = given.text("console-socket");
  options.pidfd_socket = given.text("pidfd-socket");
  options.pid_file = given.text("pid-file");
  if (engine::is_machine(call.context, options.id))
    return engine::exec_in_machine(call.context, options);
  return runtime::exec(call.context, options);
}

}  // namespace vrun::cli
