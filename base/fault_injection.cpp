#include "base/fault_injection.hpp"

#ifdef VRUN_FAULT_INJECTION

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

namespace vrun::sys {
namespace {

struct Injection {
  long fail_at = 0;
  int error = EIO;
  const char* report = nullptr;
  long calls = 0;

  Injection() {
    if (const char* n = std::getenv("VRUN_FAIL_CALL")) fail_at = std::strtol(n, nullptr, 10);
    if (const char* e = std::getenv("VRUN_FAIL_ERRNO"))
      error = static_cast<int>(std::strtol(e, nullptr, 10));
    report = std::getenv("VRUN_FAIL_REPORT");
  }
  ~Injection() {
    if (report == nullptr) return;
    const int fd = ::open(report, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return;
    ::dprintf(fd, "%ld\n", calls);
    ::close(fd);
  }
  Injection(const Injection&) = delete;
  Injection& operator=(const Injection&) = delete;
};

}  // namespace

bool fail_this_call(const char* name) {
  static Injection injection;
  ++injection.calls;
  if (injection.calls != injection.fail_at) return false;
  if (std::getenv("VRUN_FAIL_VERBOSE") != nullptr)
    ::dprintf(2, "failing call %ld: %s\n", injection.calls, name);
  errno = injection.error;
  return true;
}

}  // namespace vrun::sys

#endif
