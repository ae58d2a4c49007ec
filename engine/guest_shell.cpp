#include "engine/guest_shell.hpp"

#include <fcntl.h>
#include <linux/openat2.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"
#include "engine/disk_agent.hpp"
#include "engine/guest_exec.hpp"
#include "engine/guest_setup.hpp"

namespace vrun::engine {
namespace {

// Of login.defs(5), by user.
constexpr const char* kRootPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr const char* kUserPath = "PATH=/usr/local/bin:/usr/bin:/bin";

std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word)
    text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

ExecRequest shell_exec(const Account& account, const std::string& place, const std::string& user,
                       const ShellRequest& request) {
  ExecRequest exec;
  exec.command = login_command(account, request.command);
  exec.env = login_environment(account);
  exec.workdir = place;
  exec.user = user.empty() ? "0" : user;
  exec.tty = request.terminal;
  exec.interactive = request.input;
  return exec;
}

}  // namespace

std::vector<std::string> login_environment(const Account& account) {
  const bool root = account.user.uid == Uid(0);
  std::vector<std::string> env{root ? kRootPath : kUserPath, "HOME=" + account.home};
  if (!account.name.empty()) {
    env.push_back("USER=" + account.name);
    env.push_back("LOGNAME=" + account.name);
  }
  if (!account.shell.empty()) env.push_back("SHELL=" + account.shell);
  return env;
}

std::vector<std::string> login_command(const Account& account,
                                       const std::vector<std::string>& command) {
  // passwd(5): an empty field stands for /bin/sh.
  std::vector<std::string> args{account.shell.empty() ? "/bin/sh" : account.shell, "-l"};
  if (command.empty()) return args;
  std::string line;
  for (const std::string& word : command)
    line += (line.empty() ? "" : " ") + quoted(word);
  args.insert(args.end(), {"-c", line});
  return args;
}

Result<int> shell_in_guest(const Guests& guests, const GuestRecord& record,
                           const ShellRequest& request) {
  const Guest guest = TRY(guests.find(record.name));
  if (!guest.runs()) return not_running(guest);
  const std::string user = request.user.empty() ? record.request.user : request.user;
  if (is_disk_guest(record.request)) {
    TRY(find_agent(guests, record, "shell"));
    const Account account = TRY(account_in_system(guests, record, user));
    return exec_in_guest(guests, record, shell_exec(account, account.home, user, request));
  }
  const Fd root = TRY(sys::open(At::cwd(), "/proc/" + std::to_string(guest.pid.value) + "/root",
                                O_PATH | O_DIRECTORY));
  const Account account = TRY(account_in(root, user));
  const bool has_home = sys::open2(root, account.home, O_PATH | O_DIRECTORY | O_CLOEXEC,
                                   RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
                            .has_value();
  const std::string place = has_home ? account.home : "/";
  return exec_in_guest(guests, record, shell_exec(account, place, user, request));
}

}  // namespace vrun::engine
