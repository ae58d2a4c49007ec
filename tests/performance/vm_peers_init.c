// vm_peers_init.c: process 1 of the guests of vm_disk.py, vm_system.py and vm_resume.py. Inserts
// the modules below /modules and waits for /dev/vda. With the word "measure" it prints "READY" and,
// in microseconds, how long it took to write and to read the disk's first kMebibytes one MiB at a
// time, the median of a read and of a write of 4 KiB somewhere, and kReads such reads with kDeep of
// them under way; all without the guest's page cache (O_DIRECT). Then it resets the machine. With
// the word "system" it hands over to the init of the ext4 file system on the disk. With the word
// "count" it counts, a line every 5 ms, and has no disk.
#define _GNU_SOURCE  // O_DIRECT
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { kMebibyte = 1 << 20, kMebibytes = 64, kPage = 4096, kReads = 512, kDeep = 16 };

static int die(const char* what) {
  perror(what);
  reboot(RB_AUTOBOOT);
  return 1;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void insert_modules(void) {
  for (int number = 0;; ++number) {
    char path[32];
    snprintf(path, sizeof path, "/modules/%02d.ko", number);
    const int file = open(path, O_RDONLY);
    if (file < 0) return;
    if (syscall(SYS_finit_module, file, "", 0) != 0) perror(path);
    close(file);
  }
}

static off_t somewhere(void) {
  static uint64_t state = 88172645463325252u;  // xorshift: the same places for all
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (off_t)(state % ((uint64_t)kMebibytes * kMebibyte / kPage)) * kPage;
}

static int ascending(const void* a, const void* b) {
  const double left = *(const double*)a, right = *(const double*)b;
  return (left > right) - (left < right);
}

static double stream(int disk, char* buffer, int writes) {
  const double begun = now();
  for (int i = 0; i < kMebibytes; ++i) {
    const off_t at = (off_t)i * kMebibyte;
    const ssize_t count =
        writes ? pwrite(disk, buffer, kMebibyte, at) : pread(disk, buffer, kMebibyte, at);
    if (count != kMebibyte) die("one MiB");
  }
  return now() - begun;
}

static double one_by_one(int disk, char* buffer, int writes) {
  static double took[kReads];
  for (int i = 0; i < kReads; ++i) {
    const off_t at = somewhere();
    const double begun = now();
    const ssize_t count = writes ? pwrite(disk, buffer, kPage, at) : pread(disk, buffer, kPage, at);
    took[i] = now() - begun;
    if (count != kPage) die("one page");
  }
  qsort(took, kReads, sizeof *took, ascending);
  return took[kReads / 2];
}

static void submit(aio_context_t context, int disk, struct iocb* one, char* buffer) {
  memset(one, 0, sizeof *one);
  one->aio_fildes = (uint32_t)disk;
  one->aio_lio_opcode = IOCB_CMD_PREAD;
  one->aio_buf = (uint64_t)(uintptr_t)buffer;
  one->aio_nbytes = kPage;
  one->aio_offset = somewhere();
  one->aio_data = (uint64_t)(uintptr_t)one;
  if (syscall(SYS_io_submit, context, 1, &one) != 1) die("io_submit");
}

static double deep(int disk, char* buffer) {
  static struct iocb asked[kDeep];
  struct io_event ended[kDeep];
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, kDeep, &context) != 0) die("io_setup");
  const double begun = now();
  int sent = 0;
  for (; sent < kDeep; ++sent)
    submit(context, disk, &asked[sent], buffer + sent * kPage);
  for (int done = 0; done < kReads;) {
    const long count = syscall(SYS_io_getevents, context, 1, kDeep, ended, NULL);
    if (count <= 0) die("io_getevents");
    for (long i = 0; i < count; ++i, ++done) {
      if (ended[i].res != kPage) die("a read among several");
      struct iocb* const one = (struct iocb*)(uintptr_t)ended[i].data;
      if (sent < kReads) submit(context, disk, one, buffer + (one - asked) * kPage), ++sent;
    }
  }
  return now() - begun;
}

static int measure(int disk) {
  char* const buffer = mmap(NULL, kMebibyte, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (buffer == MAP_FAILED) return die("memory");
  memset(buffer, 0x5a, kMebibyte);
  const double writes = stream(disk, buffer, 1), reads = stream(disk, buffer, 0);
  const double read = one_by_one(disk, buffer, 0), write = one_by_one(disk, buffer, 1);
  printf("READY %.1f %.1f %.1f %.1f %.1f\n", writes, reads, read, write, deep(disk, buffer));
  reboot(RB_AUTOBOOT);
  return 1;
}

static int hand_over(void) {
  mkdir("/system", 0755);
  if (mount("/dev/vda", "/system", "ext4", 0, NULL) != 0) return die("mount /dev/vda");
  if (mount("/dev", "/system/dev", NULL, MS_MOVE, NULL) != 0) return die("move /dev");
  if (chdir("/system") != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0)
    return die("change the root");
  execl("/sbin/init", "/sbin/init", (char*)NULL);
  return die("/sbin/init");
}

static void count(void) {
  for (unsigned number = 0;; ++number) {
    printf("%u\n", number);
    usleep(5000);
  }
}

int main(int argc, char** argv) {
  mkdir("/dev", 0755);
  mount("none", "/dev", "devtmpfs", 0, 0);
  const int console = open("/dev/console", O_RDWR);
  for (int fd = 0; fd < 3; ++fd)
    dup2(console, fd);
  setvbuf(stdout, NULL, _IOLBF, 0);
  insert_modules();
  for (int i = 1; i < argc; ++i)
    if (strcmp(argv[i], "count") == 0) count();
  int disk = -1;
  for (int tries = 0; tries < 5000 && disk < 0; ++tries, usleep(disk < 0 ? 1000 : 0))
    disk = open("/dev/vda", O_RDWR | O_DIRECT);
  if (disk < 0) return die("/dev/vda");
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "measure") == 0) return measure(disk);
    if (strcmp(argv[i], "system") == 0) return close(disk), hand_over();
  }
  return die("the word measure or system");
}
