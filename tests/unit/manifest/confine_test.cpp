#include "manifest/confine.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vrun::manifest {
namespace {

// What `attempt` answers in a process without rights: 0 that it could, else an errno.
int confined(int (*attempt)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!give_up_rights()) ::_exit(200);
    errno = 0;
    ::_exit(attempt() >= 0 ? 0 : errno);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

struct Case {
  const char* what;
  int (*attempt)();
};

int run_true() {
  char word[] = "true";
  char* words[] = {word, nullptr};
  return ::execv("/bin/true", words);
}

const Case kRefused[] = {
    {"a socket", [] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }},
    {"a file for writing", [] { return ::open("/dev/null", O_WRONLY); }},
    {"a file for both", [] { return ::open("/dev/null", O_RDWR); }},
    {"a new file", [] { return ::open("/tmp/x", O_RDONLY | O_CREAT, 0600); }},
    {"a child", [] { return static_cast<int>(::fork()); }},
    {"a program", run_true},
    {"a signal", [] { return ::kill(::getppid(), 0); }},
    {"another root", [] { return ::chroot("/"); }},
    {"root's ids", [] { return ::setuid(0); }},
    {"a pipe",
     [] {
       int ends[2];
       return ::pipe(ends);
     }},
};

TEST(Confined, may_nothing_but_read) {
  for (const Case& one : kRefused) {
    EXPECT_EQ(confined(one.attempt), EPERM) << one.what;
  }
  EXPECT_EQ(confined([] { return ::open("/etc/passwd", O_RDONLY | O_CLOEXEC); }), 0);
  EXPECT_EQ(confined([] { return static_cast<int>(::write(STDERR_FILENO, "", 0)); }), 0);
}

TEST(Confined, has_no_descriptor_of_before) {
  static const int kept = ::open("/dev/null", O_RDONLY);
  ASSERT_GE(kept, 3);
  EXPECT_EQ(confined([] { return ::close(kept); }), EBADF);
}

TEST(Confined, reads_what_anybody_may_read_and_no_more) {
  if (::geteuid() != 0) GTEST_SKIP() << "whoever is not root has no root's files to lose";
  EXPECT_EQ(confined([] { return ::open("/etc/shadow", O_RDONLY); }), EACCES);
}

}  // namespace
}  // namespace vrun::manifest
