#include "engine/guest_end.hpp"

#include <algorithm>

#include <signal.h>
#include <sys/wait.h>

#include "base/signals.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

// "vrun stop", when it was vrun that sent this signal.
std::string sender_of(const EndFacts& facts, int signal) {
  for (const std::string_view line : split(facts.killers, '\n')) {
    const std::size_t blank = std::min(line.find(' '), line.size());
    const auto sent = parse_i64(line.substr(0, blank));
    if (sent && *sent == signal && blank < line.size()) return std::string(line.substr(blank + 1));
  }
  return {};
}

std::string words_of(int signal) {
  const std::string name = signal_name(signal);
  return "signal " + std::to_string(signal) + (name.empty() ? "" : " (" + name + ")");
}

std::string tenant_words(const EndFacts& facts) {
  return "the memory of tenant " + quote(facts.tenant) + " is used up, its limit is " +
         facts.tenant_limit;
}

void explain_oom(const EndFacts& facts, LastExit& last) {
  last.oom = true;
  last.reason = "killed for memory (" + words_of(SIGKILL) + "): ";
  if (!facts.tenant_limit.empty()) {
    last.reason += tenant_words(facts);
    last.hint =
        "use less in all of its guests, or let root of this host raise it: vrun tenant update " +
        facts.tenant + " --memory SIZE";
  } else if (facts.memory_limit.empty()) {
    last.reason += "the host or a group above the guest ran out";
    last.hint = "give it a limit of its own: --memory";
  } else {
    last.reason += "its limit is " + facts.memory_limit;
    last.hint = "raise --memory, or find what grew: `vrun logs` and `vrun stats`";
  }
}

void explain_seccomp(const EndFacts& facts, LastExit& last) {
  last.reason =
      facts.syscall.empty()
          ? "killed by the seccomp filter (SIGSYS), the kernel's log does not name the call"
          : "killed by the seccomp filter: system call " + quote(facts.syscall);
  last.hint = "allow the call in a profile for --security-opt seccomp=FILE";
}

std::string probe_words(const EndFacts& facts) {
  const std::string what = facts.probe == "post-start"  ? "its postStart command failed"
                           : facts.probe == "startup"   ? "its startup probe failed"
                           : facts.probe == "readiness" ? "its readiness probe failed"
                                                        : "its health check failed";
  return what + (facts.probe_reason.empty() ? "" : ": " + facts.probe_reason);
}

void explain_signal(const EndFacts& facts, LastExit& last) {
  const std::string sender = sender_of(facts, last.signal);
  if (!sender.empty()) {
    last.reason = "killed by " + words_of(last.signal) + " of `" + sender + "`";
  } else if (facts.action.starts_with("unhealthy-")) {
    last.reason = "killed by " + words_of(last.signal) + ": " + probe_words(facts);
  } else if (last.signal == SIGKILL && facts.oom_kills > 0) {
    explain_oom(facts, last);
  } else if (last.signal == SIGSYS) {
    explain_seccomp(facts, last);
  } else {
    last.reason =
        "killed by " + words_of(last.signal) + ", sent from inside or by a process of the host";
  }
}

}  // namespace

void explain_end(const EndFacts& facts, LastExit& last) {
  last.oom = facts.oom_kills > 0;
  last.hint.clear();
  last.signal = 0;
  last.rebooted = false;
  if (!facts.status) {
    last.code = -1;
    last.reason =
        "ended while its monitor was dead, before another vrun command gave it a new one: the "
        "kernel "
        "tells an exit code only to who watched, so it is not known";
    last.hint = "do not kill vrun-monitor; `vrun stop` and `vrun kill` end guests";
    return;
  }
  if (facts.power_down) {
    last.code = 0;
    last.rebooted = *facts.power_down == PowerDown::kReboot;
    last.reason = last.rebooted ? "rebooted from inside" : "powered off from inside";
    return;
  }
  if (WIFSIGNALED(*facts.status)) {
    last.signal = WTERMSIG(*facts.status);
    last.code = 128 + last.signal;
    explain_signal(facts, last);
    if (facts.machine.empty()) return;
    // Its monitor was ended by its own jail.
    last.reason = facts.machine;
    last.hint = "an attack from inside the guest, or a fault of vrun: please report it";
    return;
  }
  last.code = WEXITSTATUS(*facts.status);
  if (facts.checkpointed) {
    last.reason = "checkpointed";
    last.hint = "`vrun restore` with its name goes on from there";
    return;
  }
  last.reason = "exited with code " + std::to_string(last.code);
  if (!facts.machine.empty()) {
    last.reason = facts.machine;
    last.hint = "`vrun logs` shows the last words of its console";
    return;
  }
  if (facts.oom_kills == 0) return;
  last.reason += " after " + std::to_string(facts.oom_kills) + " of its processes ";
  last.reason += facts.oom_kills == 1 ? "was killed for memory" : "were killed for memory";
  if (!facts.tenant_limit.empty()) {
    last.reason += ": " + tenant_words(facts);
  } else if (!facts.memory_limit.empty()) {
    last.reason += ": the limit is " + facts.memory_limit;
  }
}

}  // namespace vrun::engine
