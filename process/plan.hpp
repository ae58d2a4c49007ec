// The process part of a container: what happens after the new root, in the one right order.
//
// The planners turn the config into steps and check every name and number on the way: all faults
// of a document come back at once, each with its JSON path. They touch nothing but files of
// host.proc. What the stage then does is in the *_child.cpp files of this folder.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "oci/spec.hpp"
#include "process/capabilities.hpp"
#include "seccomp/seccomp.hpp"
#include "steps/builder.hpp"

namespace vrun::process {

struct Options {
  const seccomp::Filter* filter = nullptr;  // null: none
  bool set_groups = true;                   // false in a user namespace where setgroups is denied
  bool cwd_before_user = true;              // try the working directory with root's rights first
  unsigned preserve_fds = 0;                // descriptors 3 .. 3+n-1 go to the guest
  std::span<const int> handed;              // further ones that go to it under their own numbers
  std::string where = "process";            // prefix of JSON paths in messages
  bool exec = false;                        // a further process of a guest: execCPUAffinity counts
  bool in_user_namespace = false;           // new or joined: every capability is ours in there
  const oci::MemoryPolicy* memory_policy = nullptr;  // linux.memoryPolicy
  const oci::Personality* personality = nullptr;     // linux.personality
};

// Makes what is missing of process.cwd. Belongs between the mounts and the read-only root.
void plan_working_directory(const oci::Process& process, const Options& options,
                            steps::Builder& builder);

// Steps from the container's own root to the program being known, but not yet executed: rlimits,
// scheduler, labels, credentials ... up to kFindProgram. Answers what the caller can give, for
// plan_exec().
Result<Grantable> plan_before_gate(const oci::Process& process, const Options& options,
                                   const Host& host, steps::Builder& builder);
// What happens once `start` has spoken: no_new_privs, seccomp, final capabilities, descriptors,
// exec. After kSeccomp nothing but kCapabilities (where it must) and kExec is done, and with
// no_new_privs nothing but kExec.
Result<void> plan_exec(const oci::Process& process, const Options& options,
                       const Grantable& grantable, steps::Builder& builder);

// Raises those of our own hard limits that process.rlimits wants higher. Before the clone, so that
// the child is born with them: CAP_SYS_RESOURCE counts only in the initial user namespace
// (prlimit(2)), where the child may not be. Soft limits stay.
Result<void> raise_hard_limits(const oci::Process& process, std::string_view where);

// execCPUAffinity.initial: where the caller itself runs until the process is in its cgroup.
Result<void> set_initial_affinity(const oci::Process& process, std::string_view where);

// A fault of kFindProgram or kExec in the words of runc, which engines look for to tell exit codes
// 127 and 126: `exec: "foo": executable file not found in $PATH`.
Error program_error(steps::Op op, int sys_errno, std::string_view note,
                    const std::vector<std::string>& argv);

// Why `path` could not be executed, from errno and the first bytes of the file: missing
// interpreter, wrong architecture, CRLF after the interpreter's name; empty when nothing better is
// known.
std::string explain_exec_failure(int sys_errno, std::string_view path, std::string_view file_head);

// What the user can do about a fault of any other step of this folder; empty: nothing better known.
std::string hint_for(const steps::Step& step, int sys_errno);

// Names that are known here, for `features` and the checker.
std::vector<std::string> capability_names();
std::vector<std::string> rlimit_names();
std::vector<std::string> scheduler_policies();
std::vector<std::string> scheduler_flags();
std::vector<std::string> io_priority_classes();
std::vector<std::string> memory_policy_modes();
std::vector<std::string> memory_policy_flags();

}  // namespace vrun::process
