#include <cerrno>

#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "seccomp/cache.hpp"
#include "seccomp/seccomp.hpp"
#include "tests/unit/seccomp/bpf_run.hpp"
#include "tests/unit/seccomp/temp_host.hpp"

namespace vrun::seccomp {
namespace {

oci::Seccomp deny_getppid() {
  return {.default_action = "SCMP_ACT_ALLOW",
          .syscalls = {{.names = {"getppid"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 71}}};
}

// Loads the filter in a process of its own and answers what `then` says there.
template <typename Then>
int under(const Filter& filter, Then then) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    std::string bytes = filter.program;
    const sock_fprog program{static_cast<unsigned short>(filter.count()),
                             reinterpret_cast<sock_filter*>(bytes.data())};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter.flags, &program) != 0) ::_exit(99);
    ::_exit(then());
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(SeccompCompile, the_kernel_takes_the_filter_and_does_what_it_says) {
  const TempHost temp;
  const Result<Filter> filter = compile(deny_getppid(), temp.host());
  ASSERT_TRUE(filter) << filter.error().text();
  EXPECT_EQ(under(*filter, [] { return ::syscall(SYS_getppid) == -1 && errno == 71 ? 0 : 1; }), 0);
}

TEST(SeccompCompile, the_second_time_comes_from_the_cache) {
  const TempHost temp;
  const Result<Filter> first = compile(deny_getppid(), temp.host());
  ASSERT_TRUE(first);
  const std::string path = temp.folder() + "/" + cache_key(deny_getppid());
  struct stat before {};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  const Result<Filter> second = compile(deny_getppid(), temp.host());
  ASSERT_TRUE(second);
  EXPECT_EQ(second->program, first->program);
  // what is in the file is what is used: put another valid program there
  store_cached(temp.host(), cache_key(deny_getppid()), {std::string(8, '\6'), 0, false});
  EXPECT_EQ(compile(deny_getppid(), temp.host())->program, std::string(8, '\6'));
}

TEST(SeccompCompile, conditions_that_contradict_each_other_name_the_second) {
  oci::Seccomp seccomp = deny_getppid();
  const std::vector<oci::SyscallArg> args{{0, 1, 0, "SCMP_CMP_EQ"}};
  for (const unsigned errno_ret : {5U, 6U})
    seccomp.syscalls.push_back(
        {.names = {"getuid"}, .action = "SCMP_ACT_ERRNO", .errno_ret = errno_ret, .args = args});
  const Result<Filter> filter = compile(seccomp, Host{});
  ASSERT_FALSE(filter);
  EXPECT_EQ(filter.error().text(),
            "linux.seccomp.syscalls[2]: contradicts an earlier rule for getuid");
}

TEST(SeccompCompile, of_two_plain_rules_for_a_call_the_first_stays) {
  oci::Seccomp seccomp = deny_getppid();
  seccomp.syscalls.push_back({.names = {"getppid"}, .action = "SCMP_ACT_KILL_PROCESS"});
  const Result<Filter> filter = compile(seccomp, Host{});
  ASSERT_TRUE(filter);
  EXPECT_EQ(under(*filter, [] { return ::syscall(SYS_getppid) == -1 && errno == 71 ? 0 : 1; }), 0);
}

TEST(SeccompCompile, an_architecture_of_another_byte_order_is_an_error) {
  oci::Seccomp seccomp = deny_getppid();
  seccomp.architectures = {"SCMP_ARCH_S390X"};
  const Result<Filter> filter = compile(seccomp, Host{});
  ASSERT_FALSE(filter);
  EXPECT_EQ(filter.error().code(), Code::kUnsupported);
}

TEST(SeccompCompile, the_default_profile_lets_a_program_run) {
  const Result<oci::Seccomp> profile = default_profile({});
  ASSERT_TRUE(profile);
  const Result<Filter> filter = compile(*profile, Host{});
  ASSERT_TRUE(filter) << filter.error().text();
  EXPECT_EQ(under(*filter,
                  [] {
                    ::execl("/bin/sh", "sh", "-c", "exit 42", nullptr);
                    return 1;
                  }),
            42);
  EXPECT_EQ(
      under(*filter, [] { return ::syscall(SYS_unshare, 0) == -1 && errno == EPERM ? 0 : 1; }), 0);
}

}  // namespace
}  // namespace vrun::seccomp
