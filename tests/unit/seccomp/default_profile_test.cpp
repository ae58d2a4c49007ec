// What the default profile decides, call by call.
#include <cerrno>
#include <csignal>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#include "base/host.hpp"
#include "seccomp/seccomp.hpp"
#include "tests/unit/seccomp/bpf_run.hpp"

namespace vrun::seccomp {
namespace {

constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;

class Profile {
 public:
  explicit Profile(const std::vector<std::string>& capabilities) {
    const Result<oci::Seccomp> profile = default_profile(capabilities);
    const Result<Filter> filter = compile(*profile, Host{});
    if (!filter) ADD_FAILURE() << filter.error().text();
    program_ = program_of(filter->program);
  }
  std::uint32_t says(const char* name, std::vector<std::uint64_t> args = {}) const {
    return says_on(SCMP_ARCH_X86_64, name, std::move(args));
  }
  std::uint32_t says_on(std::uint32_t arch, const char* name,
                        std::vector<std::uint64_t> args = {}) const {
    Call call{arch, number_on(arch, name), {}};
    std::copy(args.begin(), args.end(), call.args);
    return verdict(program_, call);
  }
  const Program& program() const { return program_; }

 private:
  // libseccomp answers with numbers of its own for calls that i386 got only in Linux 4.3
  static std::uint32_t number_on(std::uint32_t arch, const std::string& name) {
    if (arch == SCMP_ARCH_X86 && name == "socket") return 359;
    if (arch == SCMP_ARCH_X86 && name == "connect") return 362;
    return static_cast<std::uint32_t>(seccomp_syscall_resolve_name_arch(arch, name.c_str()));
  }
  Program program_;
};

#if defined(__x86_64__)

TEST(DefaultProfile, ordinary_calls_are_allowed) {
  const Profile profile({});
  for (const char* name :
       {"read",          "write",        "openat",  "mmap",         "execve",     "futex",
        "clock_gettime", "epoll_wait",   "connect", "rt_sigaction", "getrandom",  "statx",
        "ptrace",        "memfd_create", "prctl",   "rseq",         "faccessat2", "close_range",
        "mknod",         "chown",        "fork",    "vfork",        "setuid",     "seccomp"}) {
    EXPECT_EQ(profile.says(name), kAllow) << name;
    EXPECT_EQ(profile.says_on(SCMP_ARCH_X86, name), kAllow) << name << " on i386";
  }
}

TEST(DefaultProfile, dangerous_calls_are_refused_with_or_without_capabilities) {
  const Profile none({});
  const Profile many({"CAP_SYS_ADMIN", "CAP_NET_ADMIN"});
  for (const char* name : {"add_key", "keyctl", "request_key", "kexec_load", "userfaultfd",
                           "io_uring_setup", "io_uring_enter", "io_uring_register", "uselib",
                           "ustat", "sysfs", "nfsservctl", "kexec_file_load"}) {
    EXPECT_EQ(none.says(name), kEperm) << name;
    EXPECT_EQ(many.says(name), kEperm) << name;
  }
  EXPECT_EQ(none.says_on(SCMP_ARCH_X86, "vm86"), kEperm);
  EXPECT_EQ(none.says_on(SCMP_ARCH_X86, "vm86old"), kEperm);
}

struct Needs {
  const char* capability;
  std::vector<const char*> calls;
};

TEST(DefaultProfile, calls_that_need_a_capability_come_with_it) {
  const std::vector<Needs> table{
      {"CAP_SYS_ADMIN", {"mount", "umount2", "setns", "unshare", "bpf", "fsopen", "sethostname"}},
      {"CAP_SYS_BOOT", {"reboot"}},
      {"CAP_SYS_CHROOT", {"chroot"}},
      {"CAP_SYS_MODULE", {"init_module", "finit_module", "delete_module"}},
      {"CAP_SYS_TIME", {"clock_settime", "settimeofday"}},
      {"CAP_SYS_NICE", {"mbind", "set_mempolicy"}},
      {"CAP_SYS_PTRACE", {"kcmp", "pidfd_getfd"}},
      {"CAP_SYS_RAWIO", {"iopl", "ioperm"}},
      {"CAP_SYS_PACCT", {"acct"}},
      {"CAP_SYSLOG", {"syslog"}},
      {"CAP_BPF", {"bpf"}},
      {"CAP_PERFMON", {"perf_event_open"}},
      {"CAP_DAC_READ_SEARCH", {"open_by_handle_at"}},
      {"CAP_SYS_TTY_CONFIG", {"vhangup"}}};
  const Profile none({});
  for (const Needs& needs : table) {
    const Profile with({needs.capability});
    for (const char* name : needs.calls) {
      EXPECT_EQ(none.says(name), kEperm) << name;
      EXPECT_EQ(with.says(name), kAllow) << name << " with " << needs.capability;
    }
  }
}

TEST(DefaultProfile, clone_makes_processes_and_threads_but_no_namespaces) {
  const Profile profile({});
  EXPECT_EQ(profile.says("clone", {SIGCHLD}), kAllow);
  EXPECT_EQ(profile.says("clone", {CLONE_VM | CLONE_THREAD | CLONE_SIGHAND}), kAllow);
  for (const std::uint64_t flag : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET,
                                   CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP}) {
    EXPECT_EQ(profile.says("clone", {flag | SIGCHLD}), kEperm) << flag;
    EXPECT_EQ(profile.says_on(SCMP_ARCH_X86, "clone", {flag}), kEperm) << flag;
  }
  EXPECT_EQ(profile.says("clone3"), kEnosys);  // so that glibc falls back to clone
  const Profile admin({"CAP_SYS_ADMIN"});
  EXPECT_EQ(admin.says("clone", {CLONE_NEWUSER}), kAllow);
  EXPECT_EQ(admin.says("clone3"), kAllow);
}

TEST(DefaultProfile, sockets_of_two_families_are_refused) {
  const Profile profile({});
  for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, 39, 41})
    EXPECT_EQ(profile.says("socket", {static_cast<std::uint64_t>(family)}), kAllow) << family;
  EXPECT_EQ(profile.says("socket", {AF_ALG}), kEperm);
  EXPECT_EQ(profile.says("socket", {AF_VSOCK}), kEperm);
  EXPECT_EQ(profile.says_on(SCMP_ARCH_X86, "socket", {AF_VSOCK}), kEperm);
}

TEST(DefaultProfile, socketcall_does_not_get_round_the_families) {
  const Profile profile({});
  EXPECT_EQ(profile.says_on(SCMP_ARCH_X86, "socketcall", {1 /* SYS_SOCKET */}), kEnosys);
}

TEST(DefaultProfile, personality_keeps_address_randomisation) {
  const Profile profile({});
  for (const std::uint64_t value : {0ULL, 8ULL, 0x20000ULL, 0x20008ULL, 0xffffffffULL})
    EXPECT_EQ(profile.says("personality", {value}), kAllow) << value;
  EXPECT_EQ(profile.says("personality", {0x40000 /* ADDR_NO_RANDOMIZE */}), kEperm);
}

TEST(DefaultProfile, newer_calls_look_absent_and_x32_is_closed) {
  const Profile profile({});
  EXPECT_EQ(verdict(profile.program(), {AUDIT_ARCH_X86_64, 600}), kEnosys);
  EXPECT_EQ(verdict(profile.program(), {AUDIT_ARCH_X86_64, 0x40000000U}), SECCOMP_RET_KILL_THREAD);
}

TEST(DefaultProfile, is_small) {
  EXPECT_LT(Profile({}).program().size(), 300U);
}

#endif

TEST(DefaultProfile, names_every_call_once_and_groups_are_complete) {
  const Result<oci::Seccomp> profile = default_profile({});
  ASSERT_TRUE(profile);
  std::multiset<std::string> names;
  for (const oci::SyscallRule& rule : profile->syscalls) {
    EXPECT_FALSE(rule.names.empty());
    if (rule.args.empty()) names.insert(rule.names.begin(), rule.names.end());
  }
  for (const std::string& name : names)
    EXPECT_EQ(names.count(name), 1U) << name;
}

}  // namespace
}  // namespace vrun::seccomp
