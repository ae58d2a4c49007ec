// vrun-init: process 1 of a guest with --init. Runs the program, hands it every signal, reaps what
// it and its children leave behind, and ends as the program ended.
//
//   vrun-init -- PROGRAM [ARGUMENT...]
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace {

// As a shell says it: 127 was not found, 126 cannot be executed.
int failure() {
  return errno == ENOENT ? 127 : 126;
}

int start(char** argv, const sigset_t& mask) {
  const int pid = ::fork();
  if (pid != 0) return pid;
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  // A group of its own, in the foreground of the terminal if there is one: ctrl-C is for it.
  ::setpgid(0, 0);
  ::signal(SIGTTOU, SIG_IGN);
  ::tcsetpgrp(STDIN_FILENO, ::getpid());
  ::signal(SIGTTOU, SIG_DFL);
  ::execvpe(argv[0], argv, environ);
  const int code = failure();
  constexpr char kText[] = "vrun-init: cannot execute ";
  static_cast<void>(!::write(STDERR_FILENO, kText, sizeof kText - 1));
  static_cast<void>(!::write(STDERR_FILENO, argv[0], ::strlen(argv[0])));
  static_cast<void>(!::write(STDERR_FILENO, "\n", 1));
  ::_exit(code);
}

// Every child that has ended; the program's own end is the answer, -1 while it runs.
int reap(int program) {
  int answer = -1;
  int status = 0;
  for (int pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != program) continue;
    answer = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return answer;
}

}  // namespace

int main(int argc, char** argv) {
  const int first = argc > 1 && ::strcmp(argv[1], "--") == 0 ? 2 : 1;
  if (first >= argc) return 125;
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, &before);
  const int program = start(argv + first, before);
  if (program < 0) return 125;
  while (true) {
    const int signal = ::sigwaitinfo(&all, nullptr);
    if (signal < 0) continue;
    if (signal == SIGCHLD) {
      const int code = reap(program);
      if (code >= 0) return code;
    } else if (signal != SIGTTIN && signal != SIGTTOU && signal != SIGTSTP) {
      ::kill(program, signal);
    }
  }
}
