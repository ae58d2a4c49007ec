#include "seccomp/rules.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>

#include <linux/seccomp.h>

#include "base/faults.hpp"
#include "base/log.hpp"
#include "base/named_value.hpp"
#include "seccomp/seccomp.hpp"

namespace vrun::seccomp {
namespace {

constexpr std::uint32_t kMaxErrno = 4095;  // MAX_ERRNO: seccomp(2) caps SECCOMP_RET_DATA there
constexpr unsigned kMaxArgs = 6;

// SCMP_ACT_ERRNO(0) and SCMP_ACT_TRACE(0) get their number from errnoRet.
constexpr std::array<NamedValue, 9> kActions{{{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
                                              {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0)},
                                              {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
                                              {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
                                              {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
                                              {"SCMP_ACT_LOG", SCMP_ACT_LOG},
                                              {"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY},
                                              {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0)},
                                              {"SCMP_ACT_TRAP", SCMP_ACT_TRAP}}};

constexpr std::array<NamedValue, 7> kOperators{{{"SCMP_CMP_NE", SCMP_CMP_NE},
                                                {"SCMP_CMP_LT", SCMP_CMP_LT},
                                                {"SCMP_CMP_LE", SCMP_CMP_LE},
                                                {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                                {"SCMP_CMP_GE", SCMP_CMP_GE},
                                                {"SCMP_CMP_GT", SCMP_CMP_GT},
                                                {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}}};

// Those of libseccomp 2.5.
constexpr std::array<NamedValue, 19> kArchitectures{
    {{"SCMP_ARCH_X86", SCMP_ARCH_X86},
     {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
     {"SCMP_ARCH_X32", SCMP_ARCH_X32},
     {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
     {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
     {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
     {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
     {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
     {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
     {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
     {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
     {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
     {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
     {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
     {"SCMP_ARCH_S390", SCMP_ARCH_S390},
     {"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
     {"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
     {"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
     {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64}}};

constexpr std::array<NamedValue, 4> kFlags{
    {{"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
     {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
     {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
     // Linux 5.19; libseccomp 2.5 does not know it, but it is ours to pass
     {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV}}};

const std::string kWhere = "linux.seccomp";

std::string element(const std::string& where, std::size_t i) {
  return where + "[" + std::to_string(i) + "]";
}

bool takes_errno(std::uint32_t action) {
  return action == SCMP_ACT_ERRNO(0) || action == SCMP_ACT_TRACE(0);
}

// The action with its errno, EPERM when nothing is said. `key` names the errno in messages.
std::optional<std::uint32_t> check_action(const std::string& name, const std::string& where,
                                          std::optional<std::uint32_t> errno_ret,
                                          const std::string& errno_where, Faults& faults) {
  const auto action = find_value(kActions, name);
  if (!action) {
    faults.add(where, unknown_name(kActions, name, "a seccomp action"));
    return std::nullopt;
  }
  const auto value = static_cast<std::uint32_t>(*action);
  if (!takes_errno(value)) {
    // runtime-spec: an errno for an action without one must be an error
    if (errno_ret) faults.add(errno_where, name + " takes no errno");
    return value;
  }
  if (errno_ret && *errno_ret > kMaxErrno)
    faults.add(errno_where, std::to_string(*errno_ret) + " is above 4095, the largest errno");
  return value | (errno_ret.value_or(EPERM) & 0xFFFFU);
}

std::vector<scmp_arg_cmp> check_args(const std::vector<oci::SyscallArg>& args,
                                     const std::string& where, Faults& faults) {
  std::vector<scmp_arg_cmp> conditions;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const oci::SyscallArg& arg = args[i];
    const std::string path = element(where + ".args", i);
    const auto op = find_value(kOperators, arg.op);
    if (!op) faults.add(path + ".op", unknown_name(kOperators, arg.op, "a comparison"));
    if (arg.index >= kMaxArgs)
      faults.add(path + ".index", std::to_string(arg.index) + " is above 5, the last argument");
    scmp_arg_cmp condition{};
    condition.arg = arg.index;
    condition.op = static_cast<scmp_compare>(op.value_or(SCMP_CMP_EQ));
    condition.datum_a = arg.value;  // for SCMP_CMP_MASKED_EQ the mask
    condition.datum_b = condition.op == SCMP_CMP_MASKED_EQ ? arg.value_two : 0;
    conditions.push_back(condition);
  }
  return conditions;
}

bool has_argument_twice(const std::vector<scmp_arg_cmp>& conditions) {
  std::array<unsigned, kMaxArgs> count{};
  for (const scmp_arg_cmp& condition : conditions) {
    if (condition.arg < kMaxArgs && ++count[condition.arg] > 1) return true;
  }
  return false;
}

// libseccomp keeps the first of two rules without conditions and says nothing.
void warn_of_second(const Rules& rules, const Rule& rule, const std::string& name) {
  if (!rule.conditions.empty()) return;
  for (const Rule& earlier : rules.rules) {
    if (earlier.syscall != rule.syscall || !earlier.conditions.empty()) continue;
    if (earlier.action != rule.action)
      log::warning(element(kWhere + ".syscalls", rule.source) + ": the action for " + name +
                   " has no effect, since " + element(kWhere + ".syscalls", earlier.source) +
                   " has given it another");
    return;
  }
}

void add_rule(Rules& rules, Rule rule) {
  if (!has_argument_twice(rule.conditions)) {
    rules.rules.push_back(std::move(rule));
    return;
  }
  // libseccomp refuses two conditions on one argument. Like runc: each condition then is a rule of
  // its own, so any of them is enough. Profiles are written for that.
  for (const scmp_arg_cmp& condition : rule.conditions)
    rules.rules.push_back({rule.syscall, rule.action, {condition}, rule.source});
}

void check_rule(const oci::SyscallRule& entry, std::size_t index, Rules& rules, Faults& faults) {
  const std::string where = element(kWhere + ".syscalls", index);
  const auto action =
      check_action(entry.action, where + ".action", entry.errno_ret, where + ".errnoRet", faults);
  const std::vector<scmp_arg_cmp> conditions = check_args(entry.args, where, faults);
  if (entry.names.empty()) faults.add(where + ".names", "is empty");
  if (!action || *action == rules.default_action) return;  // libseccomp refuses the latter
  for (const std::string& name : entry.names) {
    const int syscall = seccomp_syscall_resolve_name(name.c_str());
    if (syscall == __NR_SCMP_ERROR) {
      log::debug("seccomp: no system call is called " + quote(name) + " here (" + where + ")");
      continue;
    }
    if (*action == SCMP_ACT_NOTIFY) rules.notifies = true;
    Rule rule{syscall, *action, conditions, index};
    warn_of_second(rules, rule, name);
    add_rule(rules, std::move(rule));
  }
}

void check_flags(const oci::Seccomp& seccomp, Rules& rules, Faults& faults) {
  for (std::size_t i = 0; i < seccomp.flags.size(); ++i) {
    const auto flag = find_value(kFlags, seccomp.flags[i]);
    if (!flag) {
      faults.add(element(kWhere + ".flags", i),
                 unknown_name(kFlags, seccomp.flags[i], "a seccomp flag"));
      continue;
    }
    rules.flags |= *flag;
  }
  // The filter is loaded by a process of one thread, so there is nothing to synchronise; the kernel
  // would refuse the flag together with a listener.
  rules.flags &= ~std::uint64_t{SECCOMP_FILTER_FLAG_TSYNC};
  // It says how notifications are waited for, and the kernel refuses it without a listener.
  if (!rules.notifies) rules.flags &= ~std::uint64_t{SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV};
}

void check_architectures(const oci::Seccomp& seccomp, Rules& rules, Faults& faults) {
  for (std::size_t i = 0; i < seccomp.architectures.size(); ++i) {
    const std::string& name = seccomp.architectures[i];
    const auto arch = find_value(kArchitectures, name);
    if (!arch) {
      faults.add(element(kWhere + ".architectures", i),
                 unknown_name(kArchitectures, name, "an architecture that libseccomp knows here"));
      continue;
    }
    const auto number = static_cast<std::uint32_t>(*arch);
    if (number == seccomp_arch_native()) continue;
    if (std::find(rules.architectures.begin(), rules.architectures.end(), number) ==
        rules.architectures.end())
      rules.architectures.push_back(number);
  }
}

}  // namespace

Result<Rules> check(const oci::Seccomp& seccomp) {
  Faults faults;
  Rules rules;
  const auto default_action =
      check_action(seccomp.default_action, kWhere + ".defaultAction", seccomp.default_errno_ret,
                   kWhere + ".defaultErrnoRet", faults);
  rules.default_action = default_action.value_or(SCMP_ACT_KILL_PROCESS);
  if (default_action == SCMP_ACT_NOTIFY)
    faults.add(kWhere + ".defaultAction",
               "SCMP_ACT_NOTIFY cannot be the default: the start of the program itself would wait "
               "for the listener");
  check_architectures(seccomp, rules, faults);
  for (std::size_t i = 0; i < seccomp.syscalls.size(); ++i)
    check_rule(seccomp.syscalls[i], i, rules, faults);
  check_flags(seccomp, rules, faults);
  if (rules.notifies && seccomp.listener_path.empty())
    faults.add(kWhere + ".listenerPath", "is needed, since a rule has SCMP_ACT_NOTIFY");
  TRY(faults.result());
  return rules;
}

Support support() {
  Support support;
  support.actions = names_of(kActions);
  support.operators = names_of(kOperators);
  support.archs = names_of(kArchitectures);
  support.known_flags = names_of(kFlags);
  support.supported_flags = names_of(kFlags);  // all of them since Linux 5.19; vrun needs 6.1
  return support;
}

}  // namespace vrun::seccomp
