/* The guest's own view of itself, as one JSON object on stdout; static, so that it runs in any
 * root.
 *
 *   probe                     everything below "facts"
 *   probe call NR [ARG...]    one system call with numbers: prints its answer or -errno
 *   probe touch MIB           touches so much memory, prints "touched"
 *   probe forks N             starts N children that sleep, prints how many it got
 *   probe sleep               waits for a signal to end it
 *   probe tty                 facts of the terminal on stdin, then of each SIGWINCH
 *   probe map PATH TEXT       writes TEXT into a mapped file, prints "mapped", waits for a signal
 *   probe open PATH FLAGS     open(PATH, FLAGS): prints ok or -errno
 *   probe burn SECONDS        uses the processor for so long, prints the share it got
 *   probe segv|abort          ends by that signal
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct attributes { /* struct sched_attr of sched_setattr(2), version 1 */
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t util_min, util_max;
};

static void text(const char* s) {
  putchar('"');
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (c < 32 || c > 126)
      printf("\\u%04x", c);
    else
      putchar(c);
  }
  putchar('"');
}

static void key(const char* name) {
  static int first = 1;
  if (!first) printf(",\n");
  first = 0;
  text(name);
  printf(": ");
}

static void number(const char* name, long long value) {
  key(name);
  printf("%lld", value);
}

static void string(const char* name, const char* value) {
  key(name);
  text(value);
}

static void list(const char* name, char** from) {
  key(name);
  putchar('[');
  for (int i = 0; from[i]; i++) {
    if (i) putchar(',');
    text(from[i]);
  }
  putchar(']');
}

/* The lines of /proc/self/status, which needs a mounted proc. */
static void status(void) {
  char line[4096];
  FILE* f = fopen("/proc/self/status", "r");
  key("status");
  putchar('{');
  int first = 1;
  while (f && fgets(line, sizeof line, f)) {
    char* colon = strchr(line, ':');
    if (!colon) continue;
    *colon = 0;
    char* value = colon + 1;
    while (*value == '\t' || *value == ' ')
      value++;
    value[strcspn(value, "\n")] = 0;
    if (!first) putchar(',');
    first = 0;
    text(line);
    putchar(':');
    text(value);
  }
  putchar('}');
  if (f) fclose(f);
}

/* Open descriptors by fcntl, so that it works without proc; what they are where proc is there. */
static void descriptors(void) {
  key("fds");
  putchar('{');
  int first = 1;
  for (int fd = 0; fd < 4096; fd++) {
    if (fcntl(fd, F_GETFD) < 0) continue;
    char path[64], target[4096];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof target - 1);
    target[n < 0 ? 0 : n] = 0;
    if (!first) putchar(',');
    first = 0;
    printf("\"%d\":", fd);
    text(target);
  }
  putchar('}');
}

static void limits(void) {
  static const char* const names[] = {
      "CPU",     "FSIZE", "DATA",  "STACK",      "CORE",     "RSS",  "NPROC",  "NOFILE",
      "MEMLOCK", "AS",    "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"};
  key("rlimits");
  putchar('{');
  for (int i = 0; i < 16; i++) {
    struct rlimit r = {0, 0};
    getrlimit((__rlimit_resource_t)i, &r);
    printf("%s\"RLIMIT_%s\":[%llu,%llu]", i ? "," : "", names[i], (unsigned long long)r.rlim_cur,
           (unsigned long long)r.rlim_max);
  }
  putchar('}');
}

static void scheduling(void) {
  struct attributes a = {.size = sizeof a};
  long r = syscall(SYS_sched_getattr, 0, &a, sizeof a, 0);
  key("scheduler");
  printf(
      "{\"answer\":%ld,\"policy\":%u,\"flags\":%llu,\"nice\":%d,\"priority\":%u,"
      "\"runtime\":%llu,\"deadline\":%llu,\"period\":%llu}",
      r, a.policy, (unsigned long long)a.flags, a.nice, a.priority, (unsigned long long)a.runtime,
      (unsigned long long)a.deadline, (unsigned long long)a.period);
  number("ioprio", syscall(SYS_ioprio_get, 1, 0));
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  key("affinity");
  putchar('[');
  for (int i = 0, n = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &set)) printf("%s%d", n++ ? "," : "", i);
  putchar(']');
  int mode = -1;
  unsigned long nodes[16] = {0};
  long m = syscall(SYS_get_mempolicy, &mode, nodes, sizeof nodes * 8, 0, 0);
  number("mempolicy_answer", m < 0 ? -errno : m);
  number("mempolicy_mode", mode);
  number("mempolicy_nodes", (long long)nodes[0]);
}

static void facts(int argc, char** argv, char** env) {
  (void)argc;
  mode_t mask = umask(0);
  umask(mask);
  putchar('{');
  list("argv", argv);
  list("env", env);
  number("pid", getpid());
  number("ppid", getppid());
  number("pgid", getpgid(0));
  number("sid", getsid(0));
  number("uid", getuid());
  number("euid", geteuid());
  number("gid", getgid());
  number("egid", getegid());
  gid_t groups[256];
  int n = getgroups(256, groups);
  key("groups");
  putchar('[');
  for (int i = 0; i < n; i++)
    printf("%s%u", i ? "," : "", groups[i]);
  putchar(']');
  number("umask", mask);
  char cwd[4096] = "";
  if (syscall(SYS_getcwd, cwd, sizeof cwd) < 0) snprintf(cwd, sizeof cwd, "error %d", errno);
  string("cwd", cwd);
  struct utsname u;
  uname(&u);
  string("hostname", u.nodename);
  string("domainname", u.domainname);
  string("machine", u.machine);
  number("personality", personality(0xffffffff));
  number("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  number("dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  number("securebits", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
  number("keepcaps", prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
  int death = -1;
  prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0);
  number("pdeathsig", death);
  number("subreaper", ({
           int s = -1;
           prctl(PR_GET_CHILD_SUBREAPER, &s, 0, 0, 0);
           s;
         }));
  number("session_keyring", syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -3 /* session */, 0));
  sigset_t blocked;
  sigemptyset(&blocked);
  sigprocmask(SIG_BLOCK, NULL, &blocked);
  int nblocked = 0, nignored = 0;
  for (int s = 1; s < 65; s++) {
    struct sigaction old;
    if (sigismember(&blocked, s) == 1) nblocked++;
    if (sigaction(s, NULL, &old) == 0 && old.sa_handler == SIG_IGN) nignored++;
  }
  number("signals_blocked", nblocked);
  number("signals_ignored", nignored);
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  number("monotonic", t.tv_sec);
  clock_gettime(CLOCK_BOOTTIME, &t);
  number("boottime", t.tv_sec);
  number("isatty", isatty(0));
  number("executable_writable", ({
           int fd = open("/proc/self/exe", O_RDWR | O_CLOEXEC);
           int e = fd < 0 ? -errno : 0;
           if (fd >= 0) close(fd);
           e;
         }));
  status();
  descriptors();
  limits();
  scheduling();
  printf("}\n");
}

static volatile sig_atomic_t resized;
static void on_resize(int s) {
  (void)s;
  resized = 1;
}

static void window(void) {
  struct winsize w = {0};
  ioctl(0, TIOCGWINSZ, &w);
  printf("size %d %d\n", w.ws_row, w.ws_col);
  fflush(stdout);
}

static void terminal(void) {
  struct sigaction a = {.sa_handler = on_resize};
  sigset_t winch, old;
  sigemptyset(&winch);
  sigaddset(&winch, SIGWINCH);
  sigprocmask(SIG_BLOCK, &winch, &old);
  sigaction(SIGWINCH, &a, NULL);
  char name[256];
  printf("tty %s\n", ttyname_r(0, name, sizeof name) == 0 ? name : "none");
  printf("controlling %s\n", open("/dev/tty", O_RDWR | O_CLOEXEC) >= 0 ? "yes" : "no");
  printf("foreground %s\n", tcgetpgrp(0) == getpgrp() ? "yes" : "no");
  window();
  for (;;) {
    sigsuspend(&old);
    if (resized) {
      resized = 0;
      window();
    }
  }
}

static double now(clockid_t c) {
  struct timespec t;
  clock_gettime(c, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char** argv, char** env) {
  setvbuf(stdout, NULL, _IOFBF, 65536);
  if (argc < 2 || !strcmp(argv[1], "facts")) {
    facts(argc, argv, env);
    return 0;
  }
  if (!strcmp(argv[1], "call") && argc > 2) {
    long a[7] = {0};
    for (int i = 2; i < argc && i < 9; i++)
      a[i - 2] = strtol(argv[i], NULL, 0);
    long r = syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
    printf("%ld\n", r < 0 ? -(long)errno : r);
    return 0;
  }
  if (!strcmp(argv[1], "touch") && argc > 2) {
    size_t n = (size_t)atol(argv[2]) << 20;
    char* p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return 3;
    for (size_t i = 0; i < n; i += 4096)
      p[i] = 1;
    puts("touched");
    return 0;
  }
  if (!strcmp(argv[1], "forks") && argc > 2) {
    int got = 0, want = atoi(argv[2]);
    pid_t pids[4096];
    for (; got < want && got < 4096; got++) {
      pids[got] = fork();
      if (pids[got] == 0)
        for (;;)
          pause();
      if (pids[got] < 0) break;
    }
    for (int i = 0; i < got; i++) {
      kill(pids[i], SIGKILL);
      waitpid(pids[i], NULL, 0);
    }
    printf("%d\n", got);
    return 0;
  }
  if (!strcmp(argv[1], "sleep"))
    for (;;)
      pause();
  if (!strcmp(argv[1], "tty")) terminal();
  if (!strcmp(argv[1], "open") && argc > 3) {
    int fd = open(argv[2], (int)strtol(argv[3], NULL, 0));
    printf("%d\n", fd < 0 ? -errno : 0);
    return 0;
  }
  if (!strcmp(argv[1], "map") && argc > 3) {
    int fd = open(argv[2], O_RDWR | O_CREAT, 0644);
    if (fd < 0 || ftruncate(fd, 4096) != 0) return 3;
    char* p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return 3;
    strcpy(p, argv[3]);
    puts("mapped");
    fflush(stdout);
    for (;;)
      pause();
  }
  if (!strcmp(argv[1], "burn") && argc > 2) {
    double end = now(CLOCK_MONOTONIC) + atof(argv[2]), start = now(CLOCK_MONOTONIC);
    double used = now(CLOCK_PROCESS_CPUTIME_ID);
    while (now(CLOCK_MONOTONIC) < end)
      continue;
    printf("%.3f\n", (now(CLOCK_PROCESS_CPUTIME_ID) - used) / (now(CLOCK_MONOTONIC) - start));
    return 0;
  }
  if (!strcmp(argv[1], "segv")) {
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
  }
  if (!strcmp(argv[1], "abort")) abort();
  fprintf(stderr, "probe: no such probe: %s\n", argv[1]);
  return 2;
}
