#include "engine/health_check.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include <signal.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/guest_exec.hpp"

namespace vrun::engine {
namespace {

// Field 6 of /proc/PID/stat; the second one may hold blanks and parentheses (proc(5)).
std::optional<std::uint64_t> session_of(Pid pid) {
  constexpr std::size_t kMost = 4096;
  const Result<std::string> stat =
      fs::read_file(At::cwd(), "/proc/" + std::to_string(pid.value) + "/stat", kMost);
  if (!stat) return std::nullopt;
  const std::size_t end = stat->rfind(')');
  if (end == std::string::npos) return std::nullopt;
  const std::vector<std::string_view> fields =
      split(std::string_view(*stat).substr(std::min(end + 2, stat->size())), ' ');
  constexpr std::size_t kSession = 3;
  return fields.size() > kSession ? parse_u64(fields[kSession]) : std::nullopt;
}

// The program leads a session of its own. What it starts meanwhile is found by the next round.
void kill_session(const Guests& guests, const GuestRecord& record, std::uint64_t session) {
  constexpr int kRounds = 8;
  for (int round = 0; round < kRounds; ++round) {
    const Result<std::vector<Pid>> all = runtime::processes(guests.context(), record.id);
    bool found = false;
    for (const Pid pid : all ? *all : std::vector<Pid>()) {
      const Result<Fd> process = sys::pidfd_open(pid);
      if (!process || session_of(pid) != session) continue;
      found = sys::pidfd_signal(process->get(), SIGKILL).has_value() || found;
    }
    if (!found) return;
  }
}

// The program's pid outside, once it is known.
std::optional<std::uint64_t> pid_in(const std::string& file) {
  constexpr std::size_t kMost = 64;
  const Result<std::string> text = fs::read_file(At::cwd(), file, kMost);
  return text ? parse_u64(trim(*text)) : std::nullopt;
}

}  // namespace

Result<int> check_by_program(const Guests& guests, const GuestRecord& record,
                             const std::vector<std::string>& command, std::int64_t timeout_ms) {
  ExecRequest request;
  request.command = command;
  request.pid_file = guests.monitor_dir(record) + "/check.pid";
  const pid_t worker = ::fork();
  if (worker < 0) return Error::system(errno, "start a process");
  if (worker == 0) {
    const Result<int> code = exec_in_guest(guests, record, request);
    ::_exit(code ? *code : 1);
  }
  const Fd ended = TRY(sys::pidfd_open(Pid(worker)));
  std::array<pollfd, 1> wanted{pollfd{ended.get(), POLLIN, 0}};
  const bool in_time = TRY(sys::poll(wanted, static_cast<int>(timeout_ms))) > 0;
  if (!in_time) {
    TRY(sys::pidfd_signal(ended.get(), SIGKILL));
    if (const auto pid = pid_in(request.pid_file)) kill_session(guests, record, *pid);
  }
  const sys::Exit exit = TRY(sys::wait(ended.get()));
  ::unlink(request.pid_file.c_str());
  return in_time ? exit.code() : 1;
}

}  // namespace vrun::engine
