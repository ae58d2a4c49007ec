#include "vm/guest/request.hpp"

#include "base/json_table.hpp"
#include "oci/table_linux.hpp"
#include "steps/builder.hpp"
#include "vm/agent/frames.hpp"

namespace vrun::vm {
namespace {

constexpr oci::NamespaceType kOwn[] = {oci::NamespaceType::kMount, oci::NamespaceType::kPid,
                                       oci::NamespaceType::kIpc, oci::NamespaceType::kUts,
                                       oci::NamespaceType::kCgroup};

constexpr json::Limits kLimits{.bytes = kMostContent};

}  // namespace

constexpr auto json_fields(const NetworkRequest*) {
  return json::fields(json::field("name", &NetworkRequest::name, {.non_empty = true}),
                      json::field("mac", &NetworkRequest::mac),
                      json::field("mtu", &NetworkRequest::mtu, {.max = 65535}),
                      json::field("addresses", &NetworkRequest::addresses, {.non_empty = true}),
                      json::field("gateways", &NetworkRequest::gateways));
}

constexpr auto json_fields(const RunRequest*) {
  return json::fields(json::field("spec", &RunRequest::spec, {.required = true}),
                      json::field("networks", &RunRequest::networks));
}

constexpr auto json_fields(const ExecRequest*) {
  return json::fields(json::field("args", &ExecRequest::args, {.required = true}),
                      json::field("env", &ExecRequest::env), json::field("cwd", &ExecRequest::cwd),
                      json::field("terminal", &ExecRequest::terminal),
                      json::field("consoleSize", &ExecRequest::console_size),
                      json::field("user", &ExecRequest::user),
                      json::field("capabilities", &ExecRequest::capabilities),
                      json::field("noNewPrivileges", &ExecRequest::no_new_privileges),
                      json::field("endsWithHost", &ExecRequest::ends_with_host));
}

constexpr auto json_fields(const CallRequest*) {
  return json::fields(
      json::field("call", &CallRequest::call, {.required = true, .non_empty = true}),
      json::field("seconds", &CallRequest::seconds, {.min = 0}),
      json::field("nanoseconds", &CallRequest::nanoseconds, {.min = 0, .max = 999999999}),
      json::field("http", &CallRequest::http), json::field("port", &CallRequest::port),
      json::field("path", &CallRequest::path),
      json::field("milliseconds", &CallRequest::milliseconds, {.min = 1}),
      json::field("network", &CallRequest::network));
}

constexpr auto json_fields(const AdoptedGuest*) {
  return json::fields(json::field("hostname", &AdoptedGuest::hostname),
                      json::field("networks", &AdoptedGuest::networks));
}

constexpr auto json_fields(const AdoptRequest*) {
  return json::fields(
      json::field("guest", &AdoptRequest::guest, {.required = true}),
      json::field("seed", &AdoptRequest::seed, {.required = true, .non_empty = true}),
      json::field("seconds", &AdoptRequest::seconds, {.min = 0, .required = true}),
      json::field("nanoseconds", &AdoptRequest::nanoseconds, {.min = 0, .max = 999999999}));
}

Result<RunRequest> parse_run(std::string_view json) {
  return json::read<RunRequest>(json, "kRun", kLimits);
}

Result<ExecRequest> parse_exec(std::string_view json) {
  ExecRequest request = TRY(json::read<ExecRequest>(json, "kExec", kLimits));
  if (request.args.empty()) return Error(Code::kInvalid, "kExec: args is empty");
  return request;
}

Result<CallRequest> parse_call(std::string_view json) {
  return json::read<CallRequest>(json, "kCall", kLimits);
}

Result<AdoptRequest> parse_adopt(std::string_view json) {
  return json::read<AdoptRequest>(json, "kAdopt", kLimits);
}

Result<void> fit_to_guest(oci::Spec& spec, const std::string& root) {
  for (const oci::Namespace& space : spec.linux.namespaces) {
    if (!space.path.empty())
      return Error(Code::kInvalid,
                   "config.json: linux.namespaces: a guest with its own kernel joins none");
  }
  if (!spec.linux.uid_mappings.empty() || !spec.linux.gid_mappings.empty())
    return Error(Code::kInvalid, "config.json: linux.uidMappings: belong to the host's side");
  spec.root.path = root;
  spec.linux.namespaces.clear();
  for (const oci::NamespaceType type : kOwn)
    spec.linux.namespaces.push_back({.type = type, .path = {}});
  return {};
}

runtime::ExecOptions to_options(const ExecRequest& request) {
  runtime::ExecOptions options;
  options.args = request.args;
  options.env = request.env;
  options.cwd = request.cwd;
  options.terminal = request.terminal;
  options.console_size = request.console_size;
  options.capabilities = request.capabilities;
  options.no_new_privs = request.no_new_privileges;
  if (request.user) {
    options.uid = request.user->uid;
    options.gid = request.user->gid;
    options.additional_gids = request.user->additional_gids;
  }
  options.detach = true;
  return options;
}

int status_of(const Error& error) {
  const bool at_program = error.step() == steps::name_of(steps::Op::kFindProgram) ||
                          error.step() == steps::name_of(steps::Op::kExec);
  if (!at_program) return 125;
  return error.code() == Code::kNotFound ? 127 : 126;
}

}  // namespace vrun::vm
