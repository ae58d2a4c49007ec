#include "base/signals.hpp"

#include <array>
#include <csignal>
#include <optional>
#include <vector>

#include "base/text.hpp"

namespace vrun {
namespace {

struct Row {
  char name[8];
  int number;
};

constexpr std::array kSignals{
    Row{"ABRT", SIGABRT}, Row{"ALRM", SIGALRM}, Row{"BUS", SIGBUS},       Row{"CHLD", SIGCHLD},
    Row{"CLD", SIGCHLD},  Row{"CONT", SIGCONT}, Row{"FPE", SIGFPE},       Row{"HUP", SIGHUP},
    Row{"ILL", SIGILL},   Row{"INT", SIGINT},   Row{"IO", SIGIO},         Row{"IOT", SIGABRT},
    Row{"KILL", SIGKILL}, Row{"PIPE", SIGPIPE}, Row{"POLL", SIGIO},       Row{"PROF", SIGPROF},
    Row{"PWR", SIGPWR},   Row{"QUIT", SIGQUIT}, Row{"SEGV", SIGSEGV},     Row{"STKFLT", SIGSTKFLT},
    Row{"STOP", SIGSTOP}, Row{"SYS", SIGSYS},   Row{"TERM", SIGTERM},     Row{"TRAP", SIGTRAP},
    Row{"TSTP", SIGTSTP}, Row{"TTIN", SIGTTIN}, Row{"TTOU", SIGTTOU},     Row{"URG", SIGURG},
    Row{"USR1", SIGUSR1}, Row{"USR2", SIGUSR2}, Row{"VTALRM", SIGVTALRM}, Row{"WINCH", SIGWINCH},
    Row{"XCPU", SIGXCPU}, Row{"XFSZ", SIGXFSZ},
};

// The kernel's range; glibc's SIGRTMIN hides the two that its threads use, as every shell does.
constexpr int kRtMin = 34;
constexpr int kRtMax = 64;

std::optional<int> realtime(std::string_view name) {
  const bool from_min = name.starts_with("RTMIN");
  if (!from_min && !name.starts_with("RTMAX")) return std::nullopt;
  name.remove_prefix(5);
  if (name.empty()) return from_min ? kRtMin : kRtMax;
  if (name[0] != (from_min ? '+' : '-')) return std::nullopt;
  const auto offset = parse_u64(name.substr(1));
  if (!offset || *offset > kRtMax - kRtMin) return std::nullopt;
  const int steps = static_cast<int>(*offset);
  return from_min ? kRtMin + steps : kRtMax - steps;
}

std::optional<int> by_name(std::string_view name) {
  for (const Row& row : kSignals) {
    if (name == row.name) return row.number;
  }
  return realtime(name);
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

}  // namespace

Result<int> parse_signal(std::string_view text) {
  if (const auto number = parse_u64(text); number && *number <= kRtMax) {
    return static_cast<int>(*number);
  }
  std::string name = upper(text);
  if (name.starts_with("SIG")) name.erase(0, 3);
  if (const auto number = by_name(name)) return *number;
  std::vector<std::string_view> names;
  for (const Row& row : kSignals)
    names.emplace_back(row.name);
  Error error(Code::kInvalid, "unknown signal " + quote(text.substr(0, 80)));
  const auto near = nearest(name, names);
  if (!near) return std::move(error).hint("a name such as TERM or SIGKILL, or a number up to 64");
  return std::move(error).hint("did you mean " + std::string(*near) + "?");
}

std::string signal_name(int signal) {
  for (const Row& row : kSignals) {
    if (row.number == signal) return row.name;
  }
  return signal >= kRtMin && signal <= kRtMax ? "RTMIN+" + std::to_string(signal - kRtMin) : "";
}

}  // namespace vrun
