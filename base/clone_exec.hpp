// The one place where a process is cloned for a container: a few instructions of assembly, since
// with CLONE_VM|CLONE_VFORK the child must not touch a stack that the parent goes on using.
#pragma once

#include <cstddef>

#include <linux/sched.h>

namespace vrun::sys {

// clone3(2); the child does execveat(executable, "", argv, envp, AT_EMPTY_PATH) and nothing else.
// With CLONE_NEWUSER it makes its capabilities ambient before: its maps are not written yet, so it
// is nobody inside, and the exec would take all of them away (capabilities(7)). If that fails it
// stores the errno in *exec_error (seen by the parent only when memory is shared) and exits with
// 127. Answers the pid, or -errno.
extern "C" long clone3_execveat(clone_args* args, std::size_t args_bytes, long executable,
                                char* const* argv, char* const* envp, int* exec_error);

}  // namespace vrun::sys
