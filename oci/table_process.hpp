// JSON tables of `process`, `root`, `mounts` and `hooks` (config.md of runtime-spec 1.3). The order
// of rows is the order in which Go's structs, so runc, write them.
#pragma once

#include "base/json_table.hpp"
#include "oci/spec.hpp"

namespace vrun::oci {

inline constexpr std::string_view kRlimitTypes[] = {
    "RLIMIT_AS",     "RLIMIT_CORE",   "RLIMIT_CPU",        "RLIMIT_DATA",
    "RLIMIT_FSIZE",  "RLIMIT_LOCKS",  "RLIMIT_MEMLOCK",    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",   "RLIMIT_NOFILE", "RLIMIT_NPROC",      "RLIMIT_RSS",
    "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"};
inline constexpr std::string_view kSchedulerPolicies[] = {
    "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR",      "SCHED_BATCH",
    "SCHED_ISO",   "SCHED_IDLE", "SCHED_DEADLINE"};
inline constexpr std::string_view kSchedulerFlags[] = {
    "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM",     "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY",   "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX"};
inline constexpr std::string_view kIoClasses[] = {"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE",
                                                  "IOPRIO_CLASS_IDLE"};

// A range of ids must not reach 2^32-1, the kernel's "no id"; kernel: EINVAL (map_write()).
void json_check(const json::In& in, const IdMapping& mapping);
void read_capabilities(const json::In& in, Process& process);
void write_capabilities(json::Writer& w, const Process& process);

constexpr auto json_fields(const IdMapping*) {
  return json::fields(json::field("containerID", &IdMapping::container_id, {.required = true}),
                      json::field("hostID", &IdMapping::host_id, {.required = true}),
                      json::field("size", &IdMapping::size, {.min = 1, .required = true}));
}

constexpr auto json_fields(const Root*) {
  return json::fields(json::field("path", &Root::path, {.required = true, .non_empty = true}),
                      json::field("readonly", &Root::readonly));
}

constexpr auto json_fields(const Mount*) {
  return json::fields(
      json::field("destination", &Mount::destination, {.required = true, .non_empty = true}),
      json::field("type", &Mount::type), json::field("source", &Mount::source),
      json::field("options", &Mount::options), json::field("uidMappings", &Mount::uid_mappings),
      json::field("gidMappings", &Mount::gid_mappings));
}

constexpr auto json_fields(const ConsoleSize*) {
  return json::fields(json::field("height", &ConsoleSize::height, {.required = true}),
                      json::field("width", &ConsoleSize::width, {.required = true}));
}

// Absent uid and gid are 0, as for runc and crun; engines always write both.
constexpr auto json_fields(const User*) {
  return json::fields(json::field("uid", &User::uid, {.always = true}),
                      json::field("gid", &User::gid, {.always = true}),
                      json::field("umask", &User::umask, {.max = 0777}),
                      json::field("additionalGids", &User::additional_gids));
}

constexpr auto json_fields(const Capabilities*) {
  return json::fields(json::field("bounding", &Capabilities::bounding),
                      json::field("effective", &Capabilities::effective),
                      json::field("inheritable", &Capabilities::inheritable),
                      json::field("permitted", &Capabilities::permitted),
                      json::field("ambient", &Capabilities::ambient));
}

constexpr auto json_fields(const Rlimit*) {
  return json::fields(json::field("type", &Rlimit::type, {.names = kRlimitTypes, .required = true}),
                      json::field("hard", &Rlimit::hard, {.required = true}),
                      json::field("soft", &Rlimit::soft, {.required = true}));
}

constexpr auto json_fields(const Scheduler*) {
  return json::fields(
      json::field("policy", &Scheduler::policy, {.names = kSchedulerPolicies, .required = true}),
      json::field("nice", &Scheduler::nice, {.min = -20, .max = 19}),
      json::field("priority", &Scheduler::priority, {.min = 0, .max = 99}),
      json::field("flags", &Scheduler::flags, {.names = kSchedulerFlags}),
      json::field("runtime", &Scheduler::runtime), json::field("deadline", &Scheduler::deadline),
      json::field("period", &Scheduler::period));
}

constexpr auto json_fields(const IoPriority*) {
  return json::fields(
      json::field("class", &IoPriority::io_class, {.names = kIoClasses, .required = true}),
      json::field("priority", &IoPriority::priority, {.min = 0, .max = 7, .always = true}));
}

constexpr auto json_fields(const CpuAffinity*) {
  return json::fields(json::field("initial", &CpuAffinity::initial),
                      json::field("final", &CpuAffinity::final));
}

constexpr auto json_fields(const Process*) {
  return json::fields(
      json::field("terminal", &Process::terminal),
      json::field("consoleSize", &Process::console_size),
      json::field("user", &Process::user, {.always = true}), json::field("args", &Process::args),
      json::field("env", &Process::env),
      json::field("cwd", &Process::cwd, {.required = true, .non_empty = true}),
      json::custom("capabilities", &read_capabilities, &write_capabilities),
      json::field("rlimits", &Process::rlimits),
      json::field("noNewPrivileges", &Process::no_new_privileges),
      json::field("apparmorProfile", &Process::apparmor_profile),
      json::field("oomScoreAdj", &Process::oom_score_adj, {.min = -1000, .max = 1000}),
      json::field("scheduler", &Process::scheduler),
      json::field("selinuxLabel", &Process::selinux_label),
      json::field("ioPriority", &Process::io_priority),
      json::field("execCPUAffinity", &Process::exec_cpu_affinity));
}

constexpr auto json_fields(const Hook*) {
  return json::fields(json::field("path", &Hook::path, {.required = true, .non_empty = true}),
                      json::field("args", &Hook::args), json::field("env", &Hook::env),
                      json::field("timeout", &Hook::timeout, {.min = 1}));
}

constexpr auto json_fields(const Hooks*) {
  return json::fields(json::field("prestart", &Hooks::prestart),
                      json::field("createRuntime", &Hooks::create_runtime),
                      json::field("createContainer", &Hooks::create_container),
                      json::field("startContainer", &Hooks::start_container),
                      json::field("poststart", &Hooks::poststart),
                      json::field("poststop", &Hooks::poststop));
}

}  // namespace vrun::oci
