#include "process/plan.hpp"

#include <array>
#include <optional>
#include <span>

#include <linux/seccomp.h>

#include "base/faults.hpp"
#include "base/text.hpp"
#include "process/capabilities.hpp"
#include "process/environment.hpp"
#include "process/labels.hpp"
#include "process/limits.hpp"
#include "process/scheduling.hpp"

namespace vrun::process {
namespace {

using steps::Op;
using steps::Origin;

constexpr std::uint32_t kDefaultUmask = 0022;  // what runc gives when the config is silent

std::string below(const Options& options, std::string_view key) {
  return options.where + "." + std::string(key);
}

// ---- how the process is run ----

void plan_scheduling(const oci::Process& process, const Options& options, steps::Builder& builder,
                     Faults& faults) {
  if (options.exec && process.exec_cpu_affinity && !process.exec_cpu_affinity->final.empty()) {
    // before the scheduler: a SCHED_DEADLINE process may not change its affinity
    const std::string where = below(options, "execCPUAffinity.final");
    const auto mask = check_cpus(process.exec_cpu_affinity->final, where, faults);
    builder.add(Op::kAffinity,
                steps::AffinityArgs{builder.array(std::span<const std::uint64_t>(mask))},
                {where, ""});
  }
  if (process.scheduler) {
    const std::string where = below(options, "scheduler");
    const auto args = check_scheduler(*process.scheduler, where, faults);
    builder.add(Op::kScheduler, args, {where, ""});
  }
  if (process.io_priority) {
    const std::string where = below(options, "ioPriority");
    builder.add(Op::kIoPriority, check_io_priority(*process.io_priority, where, faults),
                {where, ""});
  }
}

void plan_memory_and_domain(const Options& options, steps::Builder& builder, Faults& faults) {
  if (options.memory_policy != nullptr) {
    const MemoryPolicyWords words = check_memory_policy(*options.memory_policy, faults);
    builder.add(Op::kMemoryPolicy,
                steps::MemoryPolicyArgs{words.mode,
                                        builder.array(std::span<const std::uint64_t>(words.nodes))},
                {"linux.memoryPolicy", ""});
  }
  if (options.personality != nullptr)
    builder.add(Op::kPersonality, check_personality(*options.personality, faults),
                {"linux.personality", ""});
}

// ---- limits and labels ----

enum class When { kBeforeGate, kAfterGate };

void plan_rlimits(const oci::Process& process, const Options& options, When when,
                  steps::Builder& builder, Faults& faults) {
  const std::vector<steps::RlimitEntry> limits = check_rlimits(process, options.where, faults);
  if (limits.size() != process.rlimits.size()) return;  // a fault says why
  for (std::size_t i = 0; i < limits.size(); ++i) {
    if (is_late(limits[i]) != (when == When::kAfterGate)) continue;
    // one step each, so that a fault names the entry
    const oci::Rlimit& asked = process.rlimits[i];
    builder.add(Op::kRlimits, steps::RlimitsArgs{builder.array(std::span(&limits[i], 1))},
                {below(options, "rlimits[" + std::to_string(i) + "]"),
                 "set " + asked.type + " to " + std::to_string(asked.soft) + ":" +
                     std::to_string(asked.hard)});
  }
}

void plan_labels(const oci::Process& process, const Options& options, const Host& host,
                 steps::Builder& builder, Faults& faults) {
  if (process.apparmor_profile.empty() && process.selinux_label.empty()) return;
  for (const ExecLabel& label :
       check_labels(process, read_security_modules(host), options.where, faults))
    builder.add(Op::kExecLabel, steps::ExecLabelArgs{label.kind, builder.text(label.text)},
                {below(options, label.key), ""});
}

// ---- user and directory ----

void plan_credentials(const oci::Process& process, const Options& options, steps::Builder& builder,
                      Faults& faults) {
  const oci::User& user = process.user;
  if (!options.set_groups && !user.additional_gids.empty())
    faults.add(below(options, "user.additionalGids"),
               "setgroups is denied in this user namespace; drop the groups, or map more than one "
               "gid with newgidmap");
  std::vector<std::uint32_t> groups;
  for (const Gid gid : user.additional_gids)
    groups.push_back(gid.value);
  builder.add(Op::kCredentials,
              steps::CredentialsArgs{user.uid.value, user.gid.value,
                                     builder.array(std::span<const std::uint32_t>(groups)),
                                     options.set_groups},
              {below(options, "user"), ""});
}

void plan_chdir(const oci::Process& process, const Options& options, steps::ChdirTurn turn,
                steps::Builder& builder) {
  builder.add(Op::kChdir, steps::ChdirArgs{builder.text(process.cwd), turn},
              {below(options, "cwd"), "change to the working directory " + quote(process.cwd)});
}

void check_cwd_and_args(const oci::Process& process, const Options& options, Faults& faults) {
  if (!process.cwd.starts_with('/'))
    faults.add(below(options, "cwd"), quote(process.cwd) + " is not an absolute path");
  if (process.args.empty()) faults.add(below(options, "args"), "is empty: there is no program");
  if (process.user.umask && *process.user.umask > 0777U)
    faults.add(below(options, "user.umask"),
               std::to_string(*process.user.umask) + " is above 511 (octal 777)");
}

// ---- environment and program ----

// The value of HOME is found by the stage, inside the root: it gets room for it in the block.
constexpr std::size_t kHomeBytes = 4096;
constexpr std::string_view kHomePrefix = "HOME=/";

struct ProgramText {
  const steps::Text* argv = nullptr;
  const steps::Text* envp = nullptr;
  char* home = nullptr;
  steps::Text search_path = nullptr;
};

char* reserve_home(steps::Builder& builder) {
  std::array<char, kHomeBytes> room{};
  kHomePrefix.copy(room.data(), kHomePrefix.size());
  // the block is the builder's own memory, const only for those who must not write it
  return const_cast<char*>(builder.array(std::span<const char>(room)).data);
}

ProgramText program_text(const oci::Process& process, const Environment& environment,
                         steps::Builder& builder) {
  ProgramText text;
  text.argv = builder.text_array(process.args);
  std::vector<steps::Text> entries;
  entries.reserve(environment.entries.size() + 2);
  for (const std::string_view entry : environment.entries)
    entries.push_back(builder.text(entry));
  if (environment.needs_home) {
    text.home = reserve_home(builder);
    entries.push_back(text.home);
  }
  entries.push_back(nullptr);
  text.envp = builder.array(std::span<const steps::Text>(entries)).data;
  if (environment.path) text.search_path = builder.text(*environment.path);
  return text;
}

// What plan_before_gate has laid down, for plan_exec to execute: HOME must be in that very block.
const steps::ExecArgs* planned_program(const steps::Builder& builder) {
  const std::span<const steps::Step> steps = builder.steps();
  for (std::size_t i = steps.size(); i-- > 0;) {
    if (steps[i].op == Op::kFindProgram) return static_cast<const steps::ExecArgs*>(steps[i].args);
  }
  return nullptr;
}

void plan_seccomp(const Options& options, steps::Builder& builder) {
  if (options.filter == nullptr) return;
  const seccomp::Filter& filter = *options.filter;
  const std::uint64_t listener = filter.notifies ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
  // struct sock_filter is eight bytes; the words keep its alignment
  std::vector<std::uint64_t> words(filter.count());
  filter.program.copy(reinterpret_cast<char*>(words.data()), words.size() * sizeof(words[0]));
  builder.add(Op::kSeccomp,
              steps::SeccompArgs{builder.array(std::span<const std::uint64_t>(words)).data,
                                 filter.count(), filter.flags | listener},
              {"linux.seccomp", ""});
}

}  // namespace

void plan_working_directory(const oci::Process& process, const Options& options,
                            steps::Builder& builder) {
  builder.add(Op::kMakeCwd, steps::ChdirArgs{builder.text(process.cwd), steps::ChdirTurn::kOnly},
              {below(options, "cwd"), "make the working directory " + quote(process.cwd)});
}

Result<Grantable> plan_before_gate(const oci::Process& process, const Options& options,
                                   const Host& host, steps::Builder& builder) {
  Faults faults;
  check_cwd_and_args(process, options, faults);
  const Grantable grantable = TRY(read_grantable(host, options.in_user_namespace));
  const steps::CapabilitiesArgs capabilities =
      check_capabilities(process, grantable, options.where, Warnings::kSay, faults);
  const Environment environment = check_environment(process, options.where, faults);
  const ProgramText text = program_text(process, environment, builder);

  // all of these need CAP_SYS_NICE or CAP_SYS_ADMIN for more than the caller's own: before the user
  plan_scheduling(process, options, builder, faults);
  plan_memory_and_domain(options, builder, faults);
  // before the user: a procfs of our own needs CAP_SYS_ADMIN
  plan_labels(process, options, host, builder, faults);
  // before the user and the rlimits: reads /etc/passwd
  if (text.home != nullptr)
    builder.add(Op::kHome, steps::HomeArgs{text.home, kHomeBytes, process.user.uid.value},
                {below(options, "env"), ""});
  builder.add(Op::kUmask, steps::UmaskArgs{process.user.umask.value_or(kDefaultUmask)},
              {below(options, "user.umask"), ""});
  if (options.cwd_before_user) plan_chdir(process, options, steps::ChdirTurn::kFirst, builder);
  // before the user: lowering needs nothing, but RLIMIT_NPROC must count when the user changes;
  // after all that opens something: RLIMIT_NOFILE
  plan_rlimits(process, options, When::kBeforeGate, builder, faults);
  // before the user: needs CAP_SETPCAP, which a change to the final sets may take away
  builder.add(Op::kCapabilityBounds, capabilities, {below(options, "capabilities.bounding"), ""});
  plan_credentials(process, options, builder, faults);
  plan_chdir(process, options,
             options.cwd_before_user ? steps::ChdirTurn::kLast : steps::ChdirTurn::kOnly, builder);
  // after the user: its rights decide what can be executed
  builder.add(
      Op::kFindProgram,
      steps::ExecArgs{nullptr, text.argv, text.envp, text.search_path, capabilities.effective},
      {below(options, "args[0]"), ""});
  TRY(faults.result());
  return grantable;
}

Result<void> plan_exec(const oci::Process& process, const Options& options,
                       const Grantable& grantable, steps::Builder& builder) {
  const steps::ExecArgs* program = planned_program(builder);
  if (program == nullptr)
    return Error(Code::kInternal, "plan_exec without plan_before_gate on the same program");
  Faults faults;
  const steps::CapabilitiesArgs capabilities =
      check_capabilities(process, grantable, options.where, Warnings::kSaid, faults);
  const Origin sets{below(options, "capabilities"), ""};

  // after the gate: answering there needed descriptors
  plan_rlimits(process, options, When::kAfterGate, builder, faults);
  // before the filter, which may refuse these calls
  builder.add(Op::kResetSignals);
  builder.add(Op::kCloseDescriptors,
              steps::CloseDescriptorsArgs{3 + options.preserve_fds, builder.array(options.handed)});
  if (process.no_new_privileges) {
    // no_new_privs lets anyone load a filter (seccomp(2)), so it comes last: the filter then has to
    // let pass nothing but execve
    builder.add(Op::kNoNewPrivs, {below(options, "noNewPrivileges"), ""});
    builder.add(Op::kCapabilities, capabilities, sets);
    plan_seccomp(options, builder);
  } else {
    // loading needs CAP_SYS_ADMIN, so it comes before the final sets: the filter has to let pass
    // capset and prctl as well
    plan_seccomp(options, builder);
    builder.add(Op::kCapabilities, capabilities, sets);
  }
  builder.add(Op::kExec, *program, {below(options, "args[0]"), ""});
  return faults.result();
}

}  // namespace vrun::process
