// The two sides of neighbours.py, static so that it runs in any guest.
//
//   neighbour measure CPU REQUESTS WOKEN   seconds of each; prints one line of NAME=VALUE words
//   neighbour burn KIND [ADDRESS]          until it is killed; prints "burning" when it has begun
//
// measure is one thread that never wants more than one processor: first plain arithmetic (units a
// second), then requests one after the other (arithmetic, memory, a file, a socket, a descriptor),
// then the same requests a millisecond apart, counted from when each should have begun: what it
// costs to be woken beside others. `sync` is a file made durable; it is what a shared disk shows.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static volatile uint64_t sink;

// About 0.1 ms of arithmetic.
static void unit(void) {
  uint64_t x = sink | 1;
  for (int i = 0; i < 60000; ++i) x = x * 6364136223846793005U + 1442695040888963407U;
  sink = x;
}

static void die(const char* what) {
  perror(what);
  exit(1);
}

// ---- measuring ----

static int pair[2];

static void request(void) {
  char block[4096];
  memset(block, 'x', sizeof block);
  for (int i = 0; i < 10; ++i) unit();
  char* memory = mmap(NULL, 1 << 17, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die("mmap");
  for (int i = 0; i < 1 << 17; i += 4096) memory[i] = 1;
  munmap(memory, 1 << 17);
  const int fd = open("/measured", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) die("open /measured");
  if (pwrite(fd, block, sizeof block, 0) != sizeof block) die("write /measured");
  if (pread(fd, block, sizeof block, 0) != sizeof block) die("read /measured");
  close(fd);
  if (unlink("/measured") != 0) die("unlink /measured");
  if (write(pair[0], block, 64) != 64 || read(pair[1], block, 64) != 64) die("socket");
}

static int by_value(const void* a, const void* b) {
  const uint64_t x = *(const uint64_t*)a, y = *(const uint64_t*)b;
  return x < y ? -1 : x > y;
}

#define MOST 200000
static uint64_t times[MOST];

static void print_times(const char* name, size_t count) {
  qsort(times, count, sizeof *times, by_value);
  if (count == 0) return;
  printf(" %s_p50=%.1f %s_p99=%.1f", name, (double)times[count / 2] / 1e3, name,
         (double)times[count - 1 - count / 100] / 1e3);
}

static void measure(double cpu, double requests, double woken) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) die("socketpair");
  for (int i = 0; i < 20; ++i) request();
  uint64_t count = 0, begin = now_ns(), end = begin + (uint64_t)(cpu * 1e9);
  for (; now_ns() < end; ++count) unit();
  printf("units=%.1f", (double)count * 1e9 / (double)(now_ns() - begin));

  size_t n = 0;
  begin = now_ns();
  end = begin + (uint64_t)(requests * 1e9);
  for (uint64_t start = now_ns(); start < end && n < MOST; ++n) {
    request();
    const uint64_t done = now_ns();
    times[n] = done - start;
    start = done;
  }
  printf(" requests=%.1f", (double)n * 1e9 / (double)(now_ns() - begin));
  print_times("request", n);

  n = 0;
  uint64_t due = now_ns();
  for (end = due + (uint64_t)(woken * 1e9); due < end && n < MOST; ++n) {
    due = now_ns() + 1000000;
    const struct timespec at = {(time_t)(due / 1000000000U), (long)(due % 1000000000U)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    request();
    times[n] = now_ns() - due;
  }
  print_times("woken", n);

  for (n = 0; n < 20; ++n) {
    const uint64_t start = now_ns();
    const int fd = open("/durable", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || fdatasync(fd) != 0) die("fdatasync /durable");
    close(fd);
    times[n] = now_ns() - start;
  }
  print_times("sync", n);
  printf("\n");
}

// ---- burning; each does the same again and again, and takes every refusal ----

static void burn_cpu(void) {
  for (;;) unit();
}

// More than the budget: pages are reclaimed, then the kernel kills the child, then the next begins.
static void burn_memory(void) {
  for (;;) {
    const pid_t pid = fork();
    if (pid == 0) {
      for (;;) {
        char* memory = mmap(NULL, 1 << 24, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) _exit(0);
        for (int i = 0; i < 1 << 24; i += 4096) memory[i] = 1;
      }
    }
    if (pid > 0) waitpid(pid, NULL, 0);
  }
}

static void burn_pids(void) {
  signal(SIGCHLD, SIG_IGN);
  for (int round = 0;; ++round) {
    const pid_t pid = fork();
    if (pid == 0 && round % 2 == 0) {
      pause();
      _exit(0);
    }
    if (pid == 0) _exit(0);
  }
}

static void burn_io(void) {
  static char block[1 << 20];
  char name[64];
  snprintf(name, sizeof name, "/io%d", getpid());
  for (;;) {
    const int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; fd >= 0 && i < 32; ++i) {
      if (write(fd, block, sizeof block) < 0) break;
      fdatasync(fd);
    }
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    for (int i = 0; fd >= 0 && i < 32; ++i) {
      if (pread(fd, block, sizeof block, (off_t)i << 20) <= 0) break;
    }
    close(fd);
  }
}

static void burn_disk(void) {
  static char block[1 << 20];
  for (;;) {
    const int fd = open("/fill", O_WRONLY | O_CREAT, 0600);
    while (fd >= 0 && write(fd, block, sizeof block) > 0) continue;
    close(fd);
    unlink("/fill");
  }
}

static void burn_inodes(void) {
  char name[64];
  mkdir("/many", 0700);
  for (;;) {
    int made = 0;
    for (;; ++made) {
      snprintf(name, sizeof name, "/many/%d-%d", getpid(), made);
      const int fd = open(name, O_CREAT | O_WRONLY, 0600);
      if (fd < 0) break;
      close(fd);
      struct stat st;  // names that are not there stay in the kernel's cache as well
      snprintf(name, sizeof name, "/many/not-%d-%d", getpid(), made);
      stat(name, &st);
    }
    for (int i = 0; i < made; ++i) {
      snprintf(name, sizeof name, "/many/%d-%d", getpid(), i);
      unlink(name);
    }
  }
}

// Open files, then watches, then pipes full of bytes; as many processes as there may be.
static void burn_files(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  for (;;) {
    const pid_t pid = fork();
    if (pid < 0) {
      usleep(1000);
      while (waitpid(-1, NULL, WNOHANG) > 0) continue;
      continue;
    }
    if (pid > 0) continue;
    for (;;) {
      while (open("/dev/null", O_RDONLY) >= 0) continue;
      const int watcher = inotify_init();
      if (watcher >= 0) inotify_add_watch(watcher, "/", IN_ALL_EVENTS);
      usleep(100000);
      if (errno == ENFILE) usleep(1000);
    }
  }
}

// Small packets to a neighbour on the wire, and a new connection (an entry of conntrack) for each.
static void burn_network(const char* address) {
  struct sockaddr_in to = {.sin_family = AF_INET};
  inet_pton(AF_INET, address, &to.sin_addr);
  char packet[64] = {0};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  for (uint32_t i = 0;; ++i) {
    to.sin_port = htons((uint16_t)(i % 60000 + 1));
    sendto(fd, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr*)&to, sizeof to);
    if (i % 30000 == 29999) {
      close(fd);  // another port of our own
      fd = socket(AF_INET, SOCK_DGRAM, 0);
    }
  }
}

// The kernel's own log and the guest's: both are written for everybody.
static void burn_output(void) {
  static char line[200];
  memset(line, 'x', sizeof line);
  line[sizeof line - 1] = '\n';
  for (;;) {
    if (write(1, line, sizeof line) < 0) usleep(1000);
  }
}

static int burn(const char* kind, const char* address) {
  printf("burning\n");
  fflush(stdout);
  // Of processor time more than there is; of everything else as much as one process can, so that it
  // is not the processors that are missed.
  const int many = strcmp(kind, "cpu") == 0 ? 2 * (int)sysconf(_SC_NPROCESSORS_ONLN) : 1;
  for (int i = 1; i < many; ++i) {
    if (fork() == 0) break;
  }
  if (strcmp(kind, "cpu") == 0) burn_cpu();
  if (strcmp(kind, "memory") == 0) burn_memory();
  if (strcmp(kind, "pids") == 0) burn_pids();
  if (strcmp(kind, "io") == 0) burn_io();
  if (strcmp(kind, "disk") == 0) burn_disk();
  if (strcmp(kind, "inodes") == 0) burn_inodes();
  if (strcmp(kind, "descriptors") == 0) burn_files();
  if (strcmp(kind, "network") == 0) burn_network(address);
  if (strcmp(kind, "output") == 0) burn_output();
  fprintf(stderr, "neighbour: nothing burns %s\n", kind);
  return 2;
}

int main(int argc, char** argv) {
  if (argc == 5 && strcmp(argv[1], "measure") == 0) {
    measure(atof(argv[2]), atof(argv[3]), atof(argv[4]));
    return 0;
  }
  if (argc >= 3 && strcmp(argv[1], "burn") == 0) return burn(argv[2], argc > 3 ? argv[3] : "127.0.0.1");
  fprintf(stderr, "usage: neighbour measure CPU REQUESTS WOKEN | burn KIND [ADDRESS]\n");
  return 2;
}
