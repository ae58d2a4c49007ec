// boots_init.c: process 1 of the guests of boots.py. Prints one line: the guest's uptime in
// hundredths of a second and its processors. With the word "hold" among its arguments it waits
// then, else it resets the machine.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char** argv) {
  mkdir("/dev", 0755);
  mount("none", "/dev", "devtmpfs", 0, 0);
  const int console = open("/dev/console", O_WRONLY);
  struct timespec up;
  clock_gettime(CLOCK_BOOTTIME, &up);
  char line[80];
  const int length =
      snprintf(line, sizeof line, "READY %ld %ld\n", (long)up.tv_sec * 100 + up.tv_nsec / 10000000,
               sysconf(_SC_NPROCESSORS_ONLN));
  if (write(console, line, (unsigned long)length) != length) return 1;
  for (int i = 1; i < argc; ++i)
    if (strcmp(argv[i], "hold") == 0) pause();
  reboot(RB_AUTOBOOT);
  return 1;
}
