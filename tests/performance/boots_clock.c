// boots_clock.c: runs a command and says when its output had a line with READY, and when it ended.
//
//   boots_clock COMMAND [ARGUMENT...]
//
// Prints "<microseconds from exec to READY> <to the end> <the rest of that line>". The clock starts
// in the child, right before the exec: on an emulated processor a script's fork costs as much as
// the start of a small program. Exit status 1 when there was no such line.
#define _GNU_SOURCE  // pipe2
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

int main(int argc, char** argv) {
  static char said[1 << 20];
  size_t used = 0;
  long ready = 0;
  int out[2];
  long* begun =
      mmap(NULL, sizeof *begun, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (argc < 2 || begun == MAP_FAILED || pipe2(out, O_CLOEXEC) != 0) return 2;
  const pid_t child = vfork();
  if (child == 0) {
    dup2(out[1], 1);
    dup2(out[1], 2);
    *begun = now();
    execv(argv[1], argv + 1);
    _exit(127);
  }
  close(out[1]);
  ssize_t count;
  while ((count = read(out[0], said + used, sizeof said - 1 - used)) > 0) {
    used += (size_t)count;
    said[used] = '\0';
    const char* line = strstr(said, "READY ");
    if (ready == 0 && line != NULL && strchr(line, '\n') != NULL) ready = now();
  }
  int status;
  waitpid(child, &status, 0);
  const long ended = now();
  if (ready == 0) {
    fprintf(stderr, "no READY: %s\n", said);
    return 1;
  }
  char* line = strstr(said, "READY ") + strlen("READY ");
  *strpbrk(line, "\r\n") = '\0';
  printf("%ld %ld %s\n", ready - *begun, ended - *begun, line);
  return 0;
}
