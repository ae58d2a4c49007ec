// Users, capabilities and filters for real, each case in a process of its own. Most need root.
#include "process/credentials_child.hpp"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <thread>
#include <vector>

#include <grp.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/process/in_child.hpp"

namespace vrun::process {
namespace {

constexpr std::uint64_t kNetBind = std::uint64_t{1} << CAP_NET_BIND_SERVICE;
constexpr std::uint64_t kKill = std::uint64_t{1} << CAP_KILL;

std::uint32_t last_cap() {
  std::uint32_t last = 0;
  while (::prctl(PR_CAPBSET_READ, last + 1) >= 0)
    ++last;
  return last;
}

// The whole way of a container process, without an exec at its end.
int become(const steps::CredentialsArgs& user, const steps::CapabilitiesArgs& sets) {
  steps::Context context{};
  if (capability_bounds(context, sets) != 0) return 10;
  if (credentials(context, user) != 0) return 11;
  CapabilitySets now{};
  if (read_capabilities(now) != 0 || now.effective != now.permitted || now.effective == 0)
    return 12;
  if (capabilities(context, sets) != 0) return 13;
  return 0;
}

TEST(CredentialsChild, ends_with_exactly_the_sets_that_were_asked_for) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const int status = in_child([] {
    const std::uint32_t groups[] = {7, 8};
    const steps::CapabilitiesArgs sets{.bounding = kNetBind | kKill,
                                       .effective = kKill,
                                       .permitted = kNetBind | kKill,
                                       .inheritable = kNetBind,
                                       .ambient = kNetBind,
                                       .last = last_cap()};
    if (const int failed = become({1000, 1001, {groups, 2}, true}, sets); failed != 0)
      return failed;
    uid_t r = 0, e = 0, s = 0;
    ::getresuid(&r, &e, &s);
    if (r != 1000 || e != 1000 || s != 1000) return 1;
    ::getresgid(&r, &e, &s);
    if (r != 1001 || e != 1001 || s != 1001) return 2;
    gid_t now_groups[8];
    if (::getgroups(8, now_groups) != 2 || now_groups[0] != 7 || now_groups[1] != 8) return 3;
    CapabilitySets now{};
    read_capabilities(now);
    if (now.effective != kKill || now.permitted != (kNetBind | kKill) ||
        now.inheritable != kNetBind)
      return 4;
    for (unsigned n = 0; n <= last_cap(); ++n) {
      const bool expected = n == CAP_NET_BIND_SERVICE || n == CAP_KILL;
      if (::prctl(PR_CAPBSET_READ, n) != (expected ? 1 : 0)) return 5;
      const bool ambient = n == CAP_NET_BIND_SERVICE;
      if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, n, 0, 0) != (ambient ? 1 : 0)) return 6;
    }
    return 0;
  });
  EXPECT_EQ(status, 0);
}

TEST(CredentialsChild, root_without_capabilities_has_none) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const int status = in_child([] {
    if (const int failed = become({0, 0, {nullptr, 0}, true}, {.bounding = 0,
                                                               .effective = 0,
                                                               .permitted = 0,
                                                               .inheritable = 0,
                                                               .ambient = 0,
                                                               .last = last_cap()});
        failed != 0)
      return failed;
    if (::getgroups(0, nullptr) != 0) return 1;
    CapabilitySets now{};
    read_capabilities(now);
    return (now.effective | now.permitted | now.inheritable) == 0 ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
}

TEST(CredentialsChild, capabilities_that_are_not_there_are_refused) {
  const int status = in_child([] {
    if (::geteuid() == 0 && ::setresuid(1000, 1000, 1000) != 0) return 1;
    steps::Context context{};
    const steps::CapabilitiesArgs sets{.bounding = kKill,
                                       .effective = kKill,
                                       .permitted = kKill,
                                       .inheritable = 0,
                                       .ambient = 0,
                                       .last = last_cap()};
    return capabilities(context, sets) == -EPERM ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
}

TEST(CredentialsChild, bounding_drop_without_the_right_says_so) {
  const int status = in_child([] {
    if (::geteuid() == 0 && ::setresuid(1000, 1000, 1000) != 0) return 1;
    steps::Context context{};
    const steps::CapabilitiesArgs none{.bounding = 0,
                                       .effective = 0,
                                       .permitted = 0,
                                       .inheritable = 0,
                                       .ambient = 0,
                                       .last = last_cap()};
    if (capability_bounds(context, none) != -EPERM) return 2;
    return std::string_view(context.note) == "the caller lacks CAP_SETPCAP" ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
}

// ---- seccomp ----

std::vector<sock_filter> deny(unsigned nr, unsigned action) {
  return {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, action),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
}

TEST(SeccompChild, loads_a_filter_with_no_new_privs_as_any_user) {
  const int status = in_child([] {
    if (::geteuid() == 0 && ::setresuid(1000, 1000, 1000) != 0) return 1;
    const auto filter = deny(__NR_getppid, SECCOMP_RET_ERRNO | 71);
    steps::Context context{};
    const steps::SeccompArgs args{filter.data(), static_cast<std::uint32_t>(filter.size()), 0};
    if (seccomp(context, args) != -EACCES) return 2;  // nobody may without no_new_privs
    if (no_new_privs(context) != 0 || seccomp(context, args) != 0) return 3;
    errno = 0;
    return ::syscall(__NR_getppid) == -1 && errno == 71 ? 0 : 4;
  });
  EXPECT_EQ(status, 0);
}

TEST(SeccompChild, hands_the_listener_over_without_a_system_call) {
  const int status = in_child([] {
    // the block is shared with whoever fetches; here a second process of ours
    auto* program =
        static_cast<steps::Program*>(::mmap(nullptr, sizeof(steps::Program), PROT_READ | PROT_WRITE,
                                            MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    const pid_t parent = ::getpid();
    const pid_t fetcher = ::fork();
    if (fetcher == 0) {
      while (program->notify_fd == 0)
        ::usleep(1000);
      const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, parent, 0));
      const long fd = ::syscall(SYS_pidfd_getfd, pidfd, program->notify_fd, 0);
      program->notify_taken = 1;
      ::_exit(fd >= 0 ? 0 : 1);
    }
    steps::Context context{};
    context.program = program;
    // everything but exit and what the test itself needs afterwards would be notified
    const auto filter = deny(__NR_sendmsg, SECCOMP_RET_USER_NOTIF);
    if (no_new_privs(context) != 0) return 2;
    if (seccomp(context, {filter.data(), static_cast<std::uint32_t>(filter.size()),
                          SECCOMP_FILTER_FLAG_NEW_LISTENER}) != 0)
      return 3;
    int fetched = 0;
    ::waitpid(fetcher, &fetched, 0);
    return fetched == 0 && program->notify_fd > 2 ? 0 : 4;
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace vrun::process
