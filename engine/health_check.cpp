#include "engine/health_check.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/guest_exec.hpp"
#include "engine/guest_files.hpp"
#include "engine/health_probe.hpp"
#include "engine/micro_vm.hpp"
#include "engine/micro_vm_call.hpp"
#include "engine/policies.hpp"

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
                             const std::vector<std::string>& command, std::int64_t timeout_ms,
                             std::string_view word) {
  ExecRequest request;
  request.command = command;
  request.ends_with_us = is_micro_vm(record.request);
  if (!request.ends_with_us)
    request.pid_file = guests.monitor_dir(record) + "/" + std::string(word) + ".pid";
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
    // In a micro-VM the agent ends what belonged to the connection.
    if (const auto pid = pid_in(request.pid_file)) kill_session(guests, record, *pid);
  }
  const sys::Exit exit = TRY(sys::wait(ended.get()));
  ::unlink(request.pid_file.c_str());
  return in_time ? exit.code() : kCheckLate;
}

Result<int> check_guest(const Guests& guests, const Guest& guest, Probe probe) {
  const RunRequest& request = guest.record.request;
  const Fd dir = TRY(sys::open_dir(At::cwd(), guests.path_of(guest.record)));
  const oci::ImageConfig image = TRY(read_image_config(dir));
  const auto rules = TRY(probe_rules(request, image));
  const std::int64_t timeout = rules[static_cast<std::size_t>(probe)].timeout_ms;
  const std::string place = guests.monitor_dir(guest.record);
  if (const auto asked = TRY(parse_health_probe(asked_of(request, probe).cmd))) {
    // The monitor has only the end of this process to go by.
    const itimerval end{{}, {timeout / 1000, (timeout % 1000) * 1000}};
    ::setitimer(ITIMER_REAL, &end, nullptr);
    const Result<std::string> fault = is_micro_vm(request)
                                          ? probe_in_machine(guests, guest.record, *asked, timeout)
                                          : probe_health(*asked, guest.pid);
    const std::string why = printable(fault ? *fault : fault.error().text());
    if (!why.empty()) note_probe_reason(place, probe, why);
    return why.empty() ? 0 : 1;
  }
  const Result<int> code = check_by_program(
      guests, guest.record, health_command(request, image, probe), timeout, file_of(probe));
  if (!code) note_probe_reason(place, probe, code.error().text());
  if (code && *code != 0)
    note_probe_reason(place, probe, "exited with code " + std::to_string(*code));
  return code ? *code : 1;
}

}  // namespace vrun::engine
