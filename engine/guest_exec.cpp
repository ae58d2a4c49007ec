#include "engine/guest_exec.hpp"

#include <array>

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"
#include "engine/disk_agent.hpp"
#include "engine/events.hpp"
#include "engine/exec_streams.hpp"
#include "engine/guest_setup.hpp"
#include "engine/micro_vm.hpp"
#include "engine/micro_vm_exec.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/tenant_policy.hpp"
#include "process/plan.hpp"

namespace vrun::engine {

Error not_running(const Guest& guest) {
  return Error(Code::kState, "guest " + quote(guest.record.name) + " is not running (" +
                                 std::string(to_text(guest.status)) + ")")
      .hint("start it: vrun start " + guest.record.name);
}

Error no_input_terminal() {
  return Error(Code::kInvalid, "-i and -t: the input device is not a terminal")
      .hint("leave -t away: what comes from a pipe or a file goes to the program as it is");
}

namespace {

// The guest's own root directory, as its processes see it.
Result<Fd> root_of(const Guest& guest) {
  return sys::open(At::cwd(), "/proc/" + std::to_string(guest.pid.value) + "/root",
                   O_PATH | O_DIRECTORY);
}

// Where the system has a disk of its own, its agent knows the users.
Result<Account> account_of(const Guests& guests, const Guest& guest, const std::string& user) {
  if (is_disk_guest(guest.record.request)) return account_in_system(guests, guest.record, user);
  const Fd root = TRY(root_of(guest));
  return account_in(root, user);
}

Result<void> set_user(const Guest& guest, const std::string& user, runtime::ExecOptions& options) {
  if (user.empty()) return {};
  const Fd root = TRY(root_of(guest));
  const Account account = TRY(account_in(root, user));
  options.uid = account.user.uid;
  options.gid = account.user.gid;
  options.additional_gids = account.user.additional_gids;
  options.env.insert(options.env.begin(), "HOME=" + account.home);
  return {};
}

// -d and a missing -i: the process has nobody to read from.
struct Stdio {
  Fd null;
  std::array<int, 3> fds{-1, -1, -1};
};
Result<Stdio> stdio_of(const ExecRequest& request) {
  Stdio stdio;
  if (request.tty || (request.interactive && !request.detach)) return stdio;
  stdio.null = TRY(sys::open(At::cwd(), "/dev/null", O_RDWR));
  stdio.fds[0] = stdio.null.get();
  if (request.detach) stdio.fds = {stdio.null.get(), stdio.null.get(), stdio.null.get()};
  return stdio;
}

// An error that says by which step it came to be has that step's exit code (exit_code_of).
Error with_status(Error error, int status) {
  if (status == 127 || status == 126)
    return std::move(std::move(error).step(steps::name_of(steps::Op::kFindProgram)));
  return error;
}

Result<int> exec_by_agent(const Guests& guests, const Guest& guest, const ExecRequest& request) {
  if (!request.pid_file.empty()) {
    return Error(Code::kUnsupported,
                 "--pidfile: a process of a micro-VM has no number on this host");
  }
  MicroVmExec exec;
  exec.args = request.command;
  exec.env = request.env;
  exec.cwd = request.workdir;
  exec.terminal = request.tty;
  exec.input = request.interactive && !request.detach;
  exec.detach = request.detach;
  exec.ends_with_us = request.ends_with_us;
  if (request.tty) exec.env.emplace_back("TERM=xterm");
  if (request.privileged) exec.capabilities = process::capability_names();
  if (!request.user.empty()) {
    const Account account = TRY(account_of(guests, guest, request.user));
    exec.user = account.user;
    exec.env.insert(exec.env.begin(), "HOME=" + account.home);
  }
  int status = 125;
  Result<int> code = exec_in_micro_vm(guests, guest.record, exec, status);
  if (!code) return with_status(std::move(code).error(), status);
  return code;
}

}  // namespace

Result<int> exec_in_guest(const Guests& guests, const GuestRecord& record,
                          const ExecRequest& request) {
  TRY(check_exec(guests, request.privileged));
  const Guest guest = TRY(guests.find(record.name));
  if (!guest.runs() || guest.record.id != record.id) return not_running(guest);
  if (guest.status == GuestStatus::kPaused) {
    return Error(Code::kState, "guest " + quote(record.name) + " is paused: nothing runs in it")
        .hint(TRY(is_frozen(guests)) ? "vrun tenant thaw " + guests.tenant()
                                     : "vrun unpause " + record.name);
  }
  if (request.tty && request.detach) {
    return Error(Code::kInvalid, "-t and -d: nobody would see the terminal");
  }
  if (request.tty && request.interactive && ::isatty(STDIN_FILENO) == 0) {
    return no_input_terminal();
  }
  TRY(find_agent(guests, record, "exec"));
  if (is_micro_vm(record.request)) return exec_by_agent(guests, guest, request);
  runtime::ExecOptions options;
  options.id = record.id;
  options.args = request.command;
  options.env = request.env;
  options.cwd = request.workdir;
  options.terminal = request.tty;
  options.pid_file = request.pid_file;
  options.detach = request.detach;
  if (request.tty) options.env.emplace_back("TERM=xterm");
  if (request.privileged) options.capabilities = process::capability_names();
  TRY(set_user(guest, request.user, options));
  const Stdio stdio = TRY(stdio_of(request));
  options.stdio = stdio.fds;
  if (request.tty || request.detach) return runtime::exec(guests.context(), options);
  ExecStreams streams = TRY(ExecStreams::create(stdio.fds));
  options.stdio = streams.stdio();
  TRY(streams.start());
  Result<int> code = runtime::exec(guests.context(), options);
  streams.finish();
  return code;
}

}  // namespace vrun::engine
