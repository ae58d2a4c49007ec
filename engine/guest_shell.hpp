// A login shell in a running guest, as a user of the guest's own passwd.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/users.hpp"

namespace vrun::engine {

struct ShellRequest {
  std::string user;                  // empty: root, or the user of --user at `run`
  std::vector<std::string> command;  // empty: the shell reads the terminal
  bool terminal = false, input = false;
};
// The exit code of the shell. kState for a guest that does not run, kNotFound for a user that its
// passwd does not name.
Result<int> shell_in_guest(const Guests& guests, const GuestRecord& record,
                           const ShellRequest& request);

// What login(1) sets, and the command line: the words of `command` reach it as they are.
std::vector<std::string> login_environment(const Account& account);
std::vector<std::string> login_command(const Account& account,
                                       const std::vector<std::string>& command);

}  // namespace vrun::engine
