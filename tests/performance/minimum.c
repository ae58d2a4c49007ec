/* The least a program can do to run a command as isolated as the benchmark's bundle asks: what a
 * container runtime is measured against. No config, no state, no errors worth the name; the same
 * kernel work.
 *
 *   minimum [--cgroup FOLDER] [--filter FILE] ROOTFS COMMAND [ARGUMENT...]
 *
 * New mount, pid, network, ipc, uts and cgroup namespaces, born in a new cgroup below FOLDER;
 * /proc, /dev, /dev/pts, /dev/shm, /dev/mqueue and /sys; the default devices; masked and read-only
 * paths; pivot_root; three capabilities; no_new_privs; the seccomp program in FILE (struct
 * sock_filter array) when given.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int ok, const char* what) {
  if (ok) return;
  perror(what);
  _exit(99);
}

static void mask(const char* path) {
  if (mount("/dev/null", path, NULL, MS_BIND, NULL) == 0 || errno == ENOENT) return;
  must(errno == ENOTDIR && mount("tmpfs", path, "tmpfs", MS_RDONLY, NULL) == 0, path);
}

static void read_only(const char* path) {
  if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) != 0) {
    must(errno == ENOENT, path);
    return;
  }
  must(mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
             NULL) == 0,
       path);
}

static void mounts(const char* root) {
  unsigned long safe = MS_NOSUID | MS_NOEXEC | MS_NODEV;
  must(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0, "slave");
  must(mount(root, root, NULL, MS_BIND | MS_REC, NULL) == 0, "bind root");
  must(mount(NULL, root, NULL, MS_PRIVATE, NULL) == 0, "private root");
  must(chdir(root) == 0, "chdir");
  must(mount("proc", "proc", "proc", 0, NULL) == 0, "proc");
  must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k") == 0,
       "dev");
  must(mkdir("dev/pts", 0755) == 0 && mkdir("dev/shm", 0755) == 0 && mkdir("dev/mqueue", 0755) == 0,
       "mkdir");
  must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
             "newinstance,ptmxmode=0666,mode=0620") == 0,
       "pts");
  must(mount("shm", "dev/shm", "tmpfs", safe, "mode=1777,size=65536k") == 0, "shm");
  must(mount("mqueue", "dev/mqueue", "mqueue", safe, NULL) == 0, "mqueue");
  must(mount("sysfs", "sys", "sysfs", safe | MS_RDONLY, NULL) == 0, "sysfs");
  static const struct {
    const char* name;
    unsigned minor;
  } nodes[] = {
      {"dev/null", 3}, {"dev/zero", 5}, {"dev/full", 7}, {"dev/random", 8}, {"dev/urandom", 9}};
  umask(0);
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
    must(mknod(nodes[i].name, S_IFCHR | 0666, makedev(1, nodes[i].minor)) == 0, "mknod");
  must(mknod("dev/tty", S_IFCHR | 0666, makedev(5, 0)) == 0, "mknod tty");
  must(symlink("/proc/self/fd", "dev/fd") == 0 && symlink("/proc/self/fd/0", "dev/stdin") == 0 &&
           symlink("/proc/self/fd/1", "dev/stdout") == 0 &&
           symlink("/proc/self/fd/2", "dev/stderr") == 0 && symlink("pts/ptmx", "dev/ptmx") == 0,
       "symlink");
  umask(022);
  must(syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0,
       "pivot_root");
  static const char* const masked[] = {"/proc/acpi", "/proc/kcore", "/proc/keys",
                                       "/proc/timer_list", "/sys/firmware"};
  static const char* const fixed[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                      "/proc/sysrq-trigger"};
  for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
    mask(masked[i]);
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
    read_only(fixed[i]);
}

static void privileges(void) {
  const uint32_t kept = 1u << 29 | 1u << 5 | 1u << 10; /* AUDIT_WRITE, KILL, NET_BIND_SERVICE */
  for (unsigned c = 0; c <= 40; c++)
    if (c >= 32 || !(kept >> c & 1)) prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{kept, kept, 0}, {0, 0, 0}};
  must(syscall(SYS_capset, &header, data) == 0, "capset");
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
}

static struct sock_filter code[8192];

static size_t read_filter(const char* path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = read(fd, code, sizeof code);
  must(n > 0, path);
  return (size_t)n / sizeof *code;
}

static void filter(size_t length) {
  struct sock_fprog program = {(unsigned short)length, code};
  must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "seccomp");
}

int main(int argc, char** argv) {
  const char *group = NULL, *program = NULL;
  int at = 1;
  for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
    if (!strcmp(argv[at], "--cgroup")) group = argv[at + 1];
    if (!strcmp(argv[at], "--filter")) program = argv[at + 1];
  }
  if (at + 1 >= argc) {
    fprintf(stderr,
            "minimum: minimum [--cgroup FOLDER] [--filter FILE] ROOTFS COMMAND [ARGUMENT...]\n");
    return 99;
  }
  size_t length = program ? read_filter(program) : 0;
  char folder[4096] = "";
  int place = -1;
  if (group) {
    snprintf(folder, sizeof folder, "%s/minimum-%d", group, getpid());
    must(mkdir(folder, 0755) == 0, folder);
    must((place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0, folder);
  }
  struct clone_args args = {.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                                     CLONE_NEWUTS | CLONE_NEWCGROUP |
                                     (group ? CLONE_INTO_CGROUP : 0),
                            .exit_signal = SIGCHLD,
                            .cgroup = group ? (uint64_t)place : 0};
  long pid = syscall(SYS_clone3, &args, sizeof args);
  must(pid >= 0, "clone3");
  if (pid == 0) {
    must(setsid() >= 0 && sethostname("guest", 5) == 0, "hostname");
    mounts(argv[at]);
    privileges();
    if (length) filter(length);
    execve(argv[at + 1], argv + at + 1, (char*[]){"PATH=/bin", NULL});
    must(0, argv[at + 1]);
  }
  int status = 0;
  must(waitpid((pid_t)pid, &status, 0) == pid, "waitpid");
  if (group) must(rmdir(folder) == 0, folder);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
