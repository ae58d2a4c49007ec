// The jail of the VMM's threads: its table, its programs, and what happens to who breaks out.
#include "vm/vmm/jail.hpp"

#include <csignal>
#include <cstdlib>
#include <functional>
#include <set>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp/seccomp.hpp"
#include "tests/unit/seccomp/bpf_run.hpp"
#include "vm/agent/report.hpp"
#include "vm/vmm/jail_program.hpp"
#include "vm/vmm/jail_qemu.hpp"
#include "vm/vmm/landlock.hpp"

namespace vrun::vmm::jail {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::KilledBySignal;
using testing::Not;
using testing::SizeIs;

std::set<std::uint32_t> numbers_of(const std::vector<Call>& calls) {
  std::set<std::uint32_t> numbers;
  for (const Call& call : calls) {
    if (!call.missing) numbers.insert(call.number);
  }
  return numbers;
}

// But of the thread that makes others, whose jails it must be able to close.
std::vector<std::vector<Call>> all_lists() {
  std::vector<std::vector<Call>> lists{calls_of_qemu()};
  for (const Kind& kind : kinds()) {
    if (kind.makes_devices) continue;
    for (const Engine engine : {Engine::kKvm, Engine::kQemu})
      lists.push_back(calls_of(kind, engine));
  }
  return lists;
}

TEST(JailTable, ProcessorsMayMakeTwentyCallsOthersForty) {
  for (const Kind& kind : kinds()) {
    for (const Engine engine : {Engine::kKvm, Engine::kQemu}) {
      const std::string name = kind.name;
      // Serving files is some thirty calls by itself; who makes devices has the lists of both
      // kinds.
      const bool is_large = name == "fs" || name == "maker";
      const std::size_t most = name == "processor" ? 20 : is_large ? 49 : 40;
      EXPECT_LE(numbers_of(calls_of(kind, engine)).size(), most) << name;
    }
  }
}

TEST(JailTable, EveryCallIsThereOnceWithAReasonAndAName) {
  for (const std::vector<Call>& list : all_lists()) {
    std::set<std::tuple<std::uint32_t, int, std::uint32_t>> seen;
    for (const Call& call : list) {
      EXPECT_THAT(std::string_view(call.why), Not(IsEmpty())) << call.number;
      EXPECT_TRUE(seen.emplace(call.number, call.argument, call.value).second) << call.number;
      EXPECT_EQ(call_name(call.number), seccomp::syscall_name(AUDIT_ARCH_X86_64, call.number));
      EXPECT_THAT(call_name(call.number), Not(IsEmpty()));
    }
  }
}

TEST(JailTable, NobodyMayStartProgramsTraceOrMakeSockets) {
  const std::set<std::uint32_t> never{SYS_execveat,
                                      SYS_fork,
                                      SYS_vfork,
                                      SYS_clone3,
                                      SYS_ptrace,
                                      SYS_socket,
                                      SYS_connect,
                                      SYS_bind,
                                      SYS_mount,
                                      SYS_unshare,
                                      SYS_setns,
                                      SYS_bpf,
                                      SYS_keyctl,
                                      SYS_capset,
                                      SYS_chroot,
                                      SYS_io_uring_setup,
                                      SYS_process_vm_readv,
                                      SYS_open,
                                      SYS_creat,
                                      SYS_kill,
                                      SYS_seccomp,
                                      SYS_userfaultfd,
                                      SYS_perf_event_open};
  for (const std::vector<Call>& list : all_lists()) {
    for (const std::uint32_t number : numbers_of(list))
      EXPECT_FALSE(never.contains(number)) << call_name(number);
  }
}

TEST(JailTable, OnlyTheFileServerOpensAndKeepsCapabilities) {
  for (const Kind& kind : kinds()) {
    const bool is_fs = std::string_view(kind.name) == "fs";
    EXPECT_EQ(kind.opens_files, is_fs) << kind.name;
    EXPECT_EQ(kind.capabilities != 0, is_fs) << kind.name;
    for (const Engine engine : {Engine::kKvm, Engine::kQemu}) {
      const std::set<std::uint32_t> numbers = numbers_of(calls_of(kind, engine));
      for (const std::uint32_t opens : {SYS_openat, SYS_openat2, SYS_mknodat, SYS_unlinkat})
        EXPECT_EQ(numbers.contains(opens), is_fs) << kind.name << " " << call_name(opens);
      EXPECT_FALSE(numbers.contains(SYS_execve)) << kind.name;
      EXPECT_EQ(numbers.contains(SYS_clone), kind.makes_devices) << kind.name;
    }
  }
}

TEST(JailTable, WhoMakesDevicesMayCallWhatTheyMayAndMakesNoProcess) {
  const std::vector<Call> maker = calls_of(*kind_of("maker"), Engine::kKvm);
  for (const char* made : {"block", "net"}) {
    for (const std::uint32_t number : numbers_of(calls_of(*kind_of(made), Engine::kKvm)))
      EXPECT_TRUE(numbers_of(maker).contains(number)) << made << " " << call_name(number);
  }
  for (const std::uint32_t never : {SYS_execveat, SYS_fork, SYS_vfork, SYS_ptrace, SYS_socket,
                                    SYS_mount, SYS_unshare, SYS_setns, SYS_bpf, SYS_open})
    EXPECT_FALSE(numbers_of(maker).contains(never)) << call_name(never);
}

TEST(JailTable, NamesFitAThread) {
  for (const Kind& kind : kinds()) {
    EXPECT_LE(std::string_view(kind.name).size(), 15U);
    EXPECT_EQ(kind_of(kind.name), &kind);
  }
  EXPECT_EQ(kind_of("no such kind"), nullptr);
}

std::uint32_t answer(const seccomp::Program& program, std::uint32_t number,
                     std::initializer_list<std::uint64_t> arguments = {},
                     std::uint32_t arch = AUDIT_ARCH_X86_64) {
  seccomp::Call call{arch, number};
  std::copy(arguments.begin(), arguments.end(), call.args);
  return seccomp::verdict(program, call);
}

TEST(JailProgram, AllowsExactlyTheList) {
  for (const Kind& kind : kinds()) {
    const std::vector<Call> calls = calls_of(kind, Engine::kKvm);
    const std::set<std::uint32_t> listed = numbers_of(calls);
    const seccomp::Program program = program_of(calls, SECCOMP_RET_TRAP);
    for (std::uint32_t number = 0; number < 1024; ++number) {
      const bool allowed = answer(program, number) == SECCOMP_RET_ALLOW;
      // Of no argument is it asked here whether it is one of the right ones.
      if (number != SYS_ioctl && number != SYS_clone) {
        EXPECT_EQ(allowed, listed.contains(number)) << kind.name << " " << number;
      }
      EXPECT_EQ(answer(program, number | 0x40000000), SECCOMP_RET_TRAP);  // x32
      EXPECT_EQ(answer(program, number, {}, AUDIT_ARCH_I386), SECCOMP_RET_TRAP);
      EXPECT_EQ(answer(program, number, {}, AUDIT_ARCH_AARCH64), SECCOMP_RET_TRAP);
    }
  }
}

TEST(JailProgram, LooksAtArguments) {
  const seccomp::Program program =
      program_of(calls_of(*kind_of("processor"), Engine::kKvm), SECCOMP_RET_TRAP);
  EXPECT_EQ(answer(program, SYS_ioctl, {9, KVM_RUN}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(program, SYS_ioctl, {9, KVM_SIGNAL_MSI}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(program, SYS_ioctl, {9, KVM_SET_USER_MEMORY_REGION}), SECCOMP_RET_TRAP);
  EXPECT_EQ(answer(program, SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(program, SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC}), SECCOMP_RET_TRAP);
  EXPECT_EQ(answer(program, SYS_mprotect, {0, 4096, PROT_EXEC}), SECCOMP_RET_TRAP);
  const seccomp::Program maker =
      program_of(calls_of(*kind_of("maker"), Engine::kKvm), SECCOMP_RET_TRAP);
  EXPECT_EQ(answer(maker, SYS_clone, {CLONE_VM | CLONE_THREAD}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(maker, SYS_clone, {SIGCHLD}), SECCOMP_RET_TRAP);
  EXPECT_EQ(answer(maker, SYS_clone3), SECCOMP_RET_ERRNO | ENOSYS);
  const seccomp::Program qemu = program_of(calls_of_qemu(), SECCOMP_RET_ERRNO | ENOSYS);
  EXPECT_EQ(answer(qemu, SYS_clone, {CLONE_VM | CLONE_THREAD}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer(qemu, SYS_clone, {SIGCHLD}), SECCOMP_RET_ERRNO | ENOSYS);
}

// ---- attacks, each in a process of its own ----

void attack(const char* kind, const std::function<void()>& call) {
  begin({});
  std::thread thread([&] {
    enter(kind);
    call();
  });
  thread.join();
  std::_Exit(0);
}

class JailDeath : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "sanitized programs are not jailed";
#endif
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }
};

TEST_P(JailDeath, ProgramsTracesSocketsAndExecutableMemoryEndTheProcess) {
  const char* const kind = GetParam().name;
  const std::string told = std::string("vrun-vmm: thread ") + kind + " made the system call ";
  EXPECT_EXIT(attack(kind, [] { ::execl("/bin/true", "true", nullptr); }), KilledBySignal(SIGSYS),
              told + "execve number 59, which its jail does not allow");
  EXPECT_EXIT(attack(kind, [] { ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }),
              KilledBySignal(SIGSYS), told + "ptrace");
  EXPECT_EXIT(attack(kind, [] { ::socket(AF_INET, SOCK_STREAM, 0); }), KilledBySignal(SIGSYS),
              told + "socket");
  EXPECT_EXIT(
      attack(
          kind,
          [] { ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }),
      KilledBySignal(SIGSYS), told + "mmap");
  EXPECT_EXIT(attack(kind, [] { ::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }),
              KilledBySignal(SIGSYS), told + "clone");
}

TEST_P(JailDeath, PathsAreForTheFileServerOnly) {
  const Kind& kind = GetParam();
  const auto opens = [] { ::openat(AT_FDCWD, "/", O_RDONLY); };
  if (kind.opens_files) {
    EXPECT_EXIT(attack(kind.name, opens), testing::ExitedWithCode(0), "");
  } else {
    EXPECT_EXIT(attack(kind.name, opens), KilledBySignal(SIGSYS), "openat");
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, JailDeath, testing::ValuesIn(kinds().begin(), kinds().end()),
                         [](const auto& kind) { return std::string(kind.param.name); });

class Jail : public JailDeath {};

// By the thread that makes devices; each takes memory while all the others are there.
void make_many_threads() {
  constexpr int kThreads = 32;
  begin({});
  std::thread([] {
    enter("maker");
    pthread_barrier_t together;
    ::pthread_barrier_init(&together, nullptr, kThreads);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&together] {
        enter("block");
        const std::string taken(1000, 'x');
        ::pthread_barrier_wait(&together);
        if (taken.back() != 'x') std::abort();
      });
    }
    for (std::thread& thread : threads)
      thread.join();
  }).join();
  std::_Exit(0);
}

TEST_F(Jail, ThreadsMadeLaterAreJailedAndTakeMemory) {
  EXPECT_EXIT(make_many_threads(), testing::ExitedWithCode(0), "");
}

TEST_F(Jail, TheReasonIsInTheReport) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    begin({.engine = Engine::kKvm, .report = ends[1]});
    enter("net");
    ::syscall(SYS_chdir, "/");
    std::_Exit(0);
  }
  ::close(ends[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  char text[1024];
  const ssize_t size = ::read(ends[0], text, sizeof text);
  ::close(ends[0]);
  ASSERT_GT(size, 0);
  const Result<vm::EndReport> report = vm::parse_report({text, static_cast<std::size_t>(size)});
  ASSERT_TRUE(report);
  EXPECT_THAT(report->lost, HasSubstr("thread net made the system call chdir number 80"));
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

TEST_F(Jail, AKindThatNobodyReviewedDoesNotRun) {
  EXPECT_EXIT(attack("lamp", [] {}), testing::ExitedWithCode(125),
              "jail of thread lamp: nobody has said what it may do");
}

TEST_F(Jail, WithoutItThreadsAreFree) {
  enter("processor");
  EXPECT_EQ(::chdir("."), 0);
}

TEST_F(Jail, LandlockAloneKeepsFromPaths) {
  if (landlock::version() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  bool given_up = false;
  int opened = 0, error = 0;
  std::thread thread([&] {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    given_up = landlock::give_up_paths({}).has_value();
    opened = ::open("/etc/passwd", O_RDONLY);
    error = errno;
  });
  thread.join();
  EXPECT_TRUE(given_up);
  EXPECT_EQ(opened, -1);
  EXPECT_EQ(error, EACCES);
}

}  // namespace
}  // namespace vrun::vmm::jail
