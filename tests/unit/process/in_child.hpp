// Runs a function in a forked process and answers its exit status; 128 + n when signal n ended it.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

namespace vrun::process {

template <typename Function>
int in_child(Function function) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(function());
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid) return 255;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace vrun::process
