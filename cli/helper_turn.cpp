#include "cli/helper_turn.hpp"

#include <cerrno>
#include <csignal>
#include <string>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/complain.hpp"

namespace vrun::cli {
namespace {

volatile pid_t helper = 0;

// A terminal's reach both.
void pass_on(int signal, siginfo_t* info, void*) {
  if (info->si_code == SI_USER && helper > 0) ::kill(helper, signal);
}

void pass_on_signals() {
  struct sigaction action {};
  action.sa_sigaction = pass_on;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  for (const int signal : {SIGINT, SIGQUIT, SIGTERM, SIGHUP})
    ::sigaction(signal, &action, nullptr);
}

[[noreturn]] void turn_into(const std::function<Error()>& become, pid_t parent) {
  const bool has_parent = ::prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0 && ::getppid() == parent;
  if (has_parent) complain("vrun", become());
  ::_exit(kOwnFailure);
}

}  // namespace

Result<int> wait_for_helper(std::string_view verb, const std::function<Error()>& become) {
  const pid_t self = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return Error::system(errno, "start a helper");
  if (child == 0) turn_into(become, self);
  helper = child;
  pass_on_signals();
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return Error::system(errno, "wait for a helper");
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
    return Error(Code::kState, std::string(verb) + ": its helper program was killed (signal 9)");
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace vrun::cli
