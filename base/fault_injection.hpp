// Failure injection for test builds (VRUN_FAULT_INJECTION): every system call of base/sys can be
// made to fail once, by number. VRUN_FAIL_CALL=N in the environment makes the N-th call of the
// process fail with VRUN_FAIL_ERRNO (default EIO); VRUN_FAIL_REPORT=FILE gets the count of calls at
// exit.
#pragma once

#ifdef VRUN_FAULT_INJECTION
namespace vrun::sys {
// True if this call has to fail; errno is set then.
bool fail_this_call(const char* name);
}  // namespace vrun::sys
#define VRUN_CALL(name, ...) (::vrun::sys::fail_this_call(name) ? -1 : (__VA_ARGS__))
#else
#define VRUN_CALL(name, ...) (__VA_ARGS__)
#endif
