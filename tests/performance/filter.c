/* Compiles a list of system calls for the bare minimum, as a runtime would compile the profile.
 * stdin: one name a line, which are allowed; everything else answers EPERM. stdout: the BPF
 * program. */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  char name[128];
  while (c && fgets(name, sizeof name, stdin)) {
    name[strcspn(name, "\n")] = 0;
    int number = seccomp_syscall_resolve_name(name);
    if (number != __NR_SCMP_ERROR) seccomp_rule_add(c, SCMP_ACT_ALLOW, number, 0);
  }
  if (!c || seccomp_arch_add(c, SCMP_ARCH_X86) != 0 || seccomp_arch_add(c, SCMP_ARCH_X32) != 0)
    return 1;
  return seccomp_export_bpf(c, 1) == 0 ? 0 : 1;
}
