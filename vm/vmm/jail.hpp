// The threads of the VMM close their doors: capabilities, paths (Landlock), system calls.
//
// Each thread does it for itself before it touches what a guest wrote. A call outside of its
// kind's list (jail_table.hpp) ends the process by SIGSYS: the thread and the call are told on
// stderr and in the report.
#pragma once

#include <string_view>

#include "vm/vmm/jail_table.hpp"

namespace vrun::vmm::jail {

struct Shape {
  Engine engine = Engine::kKvm;
  int report = -1;  // gets the reason as a report of the machine's end (vm/agent/report.hpp)
};
// Once, by the process that is a VMM, before it has other threads; without it (unit tests) enter()
// does nothing.
void begin(const Shape& shape);

// The calling thread is jailed as its kind says. Ends the process (exit status 125, said on stderr)
// where the kernel refuses, or nobody has reviewed the kind: a machine with an open door does not
// run.
void enter(std::string_view kind);

// For QEMU, in its process before it is executed. False: the kernel refuses. Only system calls: it
// is a fork of a process with threads.
bool enter_as_qemu();

}  // namespace vrun::vmm::jail
