// Runs a test in network namespaces of its own.
#pragma once

#include <cstring>
#include <functional>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIP_UNLESS_ROOT()                                                       \
  if (::geteuid() != 0) {                                                        \
    GTEST_SKIP() << "needs root: works in network namespaces of the test's own"; \
  }                                                                              \
  static_assert(true)

namespace vrun::network {

// Runs `body` in a forked process with a new network namespace; its answer is what is compared.
inline std::string in_new_network(const std::function<std::string()>& body) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string answer =
        ::unshare(CLONE_NEWNET) == 0 ? body() : std::string("unshare: ") + std::strerror(errno);
    (void)!::write(ends[1], answer.data(), answer.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string answer;
  char buffer[4096];
  ssize_t n;
  while ((n = ::read(ends[0], buffer, sizeof buffer)) > 0)
    answer.append(buffer, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return status == 0 ? answer : "died: " + std::to_string(status);
}

}  // namespace vrun::network
