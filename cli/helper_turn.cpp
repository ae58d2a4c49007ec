#include "cli/helper_turn.hpp"

#include <cerrno>
#include <csignal>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/complain.hpp"

namespace vrun::cli {
namespace {

[[noreturn]] void turn_into(const std::function<Error()>& become, pid_t parent) {
  const bool has_parent = ::prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0 && ::getppid() == parent;
  if (has_parent) complain("vrun", become());
  ::_exit(kOwnFailure);
}

}  // namespace

Result<int> wait_for_helper(const std::function<Error()>& become) {
  const pid_t self = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return Error::system(errno, "start a helper");
  if (child == 0) turn_into(become, self);
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGQUIT, SIG_IGN);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return Error::system(errno, "wait for a helper");
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace vrun::cli
