#include "engine/guest_view.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include <time.h>

#include "base/helper.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "seccomp/seccomp.hpp"

namespace vrun::engine {
namespace {

constexpr std::array<std::string_view, 2> kNotified{"sched_getaffinity", "sysinfo"};
constexpr std::string_view kAllow = "SCMP_ACT_ALLOW";
constexpr std::string_view kNotify = "SCMP_ACT_NOTIFY";

bool names(const oci::SyscallRule& rule, std::string_view name) {
  return std::find(rule.names.begin(), rule.names.end(), name) != rule.names.end();
}

// Without conditions, and nothing else is said of it: only then may an answer of ours replace it.
bool is_allowed(const oci::Seccomp& seccomp, std::string_view name) {
  bool allowed = seccomp.default_action == kAllow;
  for (const oci::SyscallRule& rule : seccomp.syscalls) {
    if (!names(rule, name)) continue;
    if (rule.action != kAllow || !rule.args.empty()) return false;
    allowed = true;
  }
  return allowed;
}

Result<void> notify(oci::Seccomp& seccomp, const std::string& socket) {
  const auto& rules = seccomp.syscalls;
  const bool taken = !seccomp.listener_path.empty() ||
                     std::any_of(rules.begin(), rules.end(),
                                 [](const auto& rule) { return rule.action == kNotify; });
  if (taken) {
    return Error(Code::kInvalid, "--view limits: the seccomp profile has a listener of its own")
        .hint("a process has one listener; use --view host, or a profile without SCMP_ACT_NOTIFY");
  }
  oci::SyscallRule ours;
  ours.action = kNotify;
  for (const std::string_view name : kNotified) {
    if (!is_allowed(seccomp, name)) continue;
    for (oci::SyscallRule& rule : seccomp.syscalls)
      std::erase(rule.names, name);
    ours.names.emplace_back(name);
  }
  std::erase_if(seccomp.syscalls, [](const auto& rule) { return rule.names.empty(); });
  if (ours.names.empty()) return {};
  seccomp.syscalls.push_back(std::move(ours));
  seccomp.listener_path = socket;
  return {};
}

// --privileged and seccomp=unconfined have no filter: one that allows everything else.
Result<oci::Seccomp> open_profile() {
  oci::Seccomp seccomp;
  seccomp.default_action = kAllow;
  seccomp.architectures = TRY(seccomp::default_profile({})).architectures;
  return seccomp;
}

// Time since boot counts from now on: uptime, and when each process began (proc(5), stat), agree.
void begin_clock(oci::Linux& linux) {
  constexpr long kSecond = 1000000000;
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  linux.namespaces.push_back({.type = oci::NamespaceType::kTime, .path = {}});
  // -(s + n) as whole seconds and a part that is never negative
  const bool whole = now.tv_nsec == 0;
  linux.time_offsets.push_back(
      {.clock = "boottime",
       .secs = whole ? -now.tv_sec : -now.tv_sec - 1,
       .nanosecs = static_cast<std::uint32_t>(whole ? 0 : kSecond - now.tv_nsec)});
}

std::uint32_t root_id(const std::vector<oci::IdMapping>& mappings) {
  for (const oci::IdMapping& mapping : mappings)
    if (mapping.container_id == 0) return mapping.host_id;
  return 0;
}

}  // namespace

Result<void> check_view(const RunRequest& request) {
  if (request.view.empty() || request.view == "limits" || request.view == "host") return {};
  return Error(Code::kInvalid, "--view " + quote(request.view) + ": unknown")
      .hint("there are: limits, host");
}

bool has_view(const RunRequest& request, const Host& host) {
  if (!request.view.empty()) return request.view == "limits";
  return request.isolation == "system" && !host.nested();
}

Result<void> add_view(oci::Spec& spec, const std::string& state_dir) {
  oci::Linux& linux = spec.linux;
  if (!linux.seccomp) linux.seccomp = TRY(open_profile());
  TRY(notify(*linux.seccomp, state_dir + "/view"));
  begin_clock(linux);
  return {};
}

Result<void> start_view(const Guests& guests, const GuestRecord& record, const oci::Spec& spec,
                        Pid pid) {
  if (!has_view(record.request, guests.host())) return {};
  constexpr std::chrono::seconds kPatience{30};
  Command command;
  command.path = TRY(helper_path("vrun-view"));
  command.argv = {"vrun-view", std::to_string(pid.value),
                  std::to_string(root_id(spec.linux.uid_mappings)),
                  std::to_string(root_id(spec.linux.gid_mappings)),
                  guests.places().states(guests.tenant()) + "/" + record.id};
  command.env = {"VRUN_DATA_DIR=" + guests.places().data, "VRUN_RUN_DIR=" + guests.places().run};
  command.timeout = kPatience;
  const Finished finished = TRY(run(command));
  if (finished.exit.code() == 0) return {};
  const std::string_view words = trim(finished.output);
  return Error(Code::kSystem, "give the guest a view of its limits: " + printable(words))
      .hint("--view host does without it");
}

}  // namespace vrun::engine
