#include "vm/vmm/jail.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/result.hpp"
#include "vm/vmm/jail_program.hpp"
#include "vm/vmm/jail_qemu.hpp"
#include "vm/vmm/landlock.hpp"

namespace vrun::vmm::jail {
namespace {

constexpr int kCannot = 125;
constexpr int kHeaps = 4;
constexpr int kBySeccomp = 1;  // SYS_SECCOMP of <asm-generic/siginfo.h>, which glibc does not have

// Written once by begin(), before there are other threads.
bool begun = false;
Shape shape;
seccomp::Program program_of_qemu;

thread_local const char* own_kind = "";

// ---- the end of a thread that breaks out: only what a signal's handler may do ----

class Line {
 public:
  Line& add(std::string_view text) {
    const std::size_t room = std::min(text.size(), bytes_.size() - size_);
    std::memcpy(bytes_.data() + size_, text.data(), room);
    size_ += room;
    return *this;
  }
  Line& add(std::uint32_t number) {
    std::array<char, 10> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    return add({digits.data(), static_cast<std::size_t>(end - digits.data())});
  }
  void write(int fd) const {
    // Nobody may be there to read it.
    [[maybe_unused]] const ssize_t written = ::write(fd, bytes_.data(), size_);
  }

 private:
  std::array<char, 256> bytes_;
  std::size_t size_ = 0;
};

struct Refused {
  std::uint32_t call, architecture, second_argument;
};

// Words without a character that JSON would have to escape.
void tell(Line& line, const Refused& refused) {
  line.add("thread ").add(own_kind).add(" made the system call ");
  const std::string_view name = refused.architecture == AUDIT_ARCH_X86_64
                                    ? call_name(refused.call)
                                    : std::string_view("of another machine,");
  if (!name.empty()) line.add(name).add(" ");
  line.add("number ").add(refused.call);
  if (name == "ioctl") line.add(" with request ").add(refused.second_argument);
  line.add(", which its jail does not allow");
}

// The action is the default one again (SA_RESETHAND): the next refused call ends the process.
void break_out(int, siginfo_t* info, void* context) {
  if (info->si_code != kBySeccomp) {
    ::raise(SIGSYS);
    return;
  }
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  const Refused refused{.call = static_cast<std::uint32_t>(info->si_syscall),
                        .architecture = info->si_arch,
                        .second_argument = static_cast<std::uint32_t>(registers[REG_RSI])};
  Line words;
  words.add("vrun-vmm: ");
  tell(words, refused);
  words.add("\n").write(STDERR_FILENO);
  if (shape.report >= 0) {
    Line report;
    report.add(R"({"lost":"the monitor of the machine was ended: )");
    tell(report, refused);
    report.add(R"("})").write(shape.report);
  }
  ::syscall(SYS_ptrace, -1, 0, nullptr, nullptr);  // in nobody's list
}

void install_handler() {
  struct sigaction action {};
  action.sa_sigaction = break_out;
  action.sa_flags = static_cast<int>(SA_SIGINFO | SA_RESETHAND | SA_NODEFER);
  ::sigaction(SIGSYS, &action, nullptr);
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGSYS);
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

// ---- the doors ----

// All but `kept`. None can come back: the thread has no_new_privs (capabilities(7)).
Result<void> drop_capabilities(std::uint32_t kept) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> had{}, sets{};
  if (::syscall(SYS_capget, &header, had.data()) != 0)
    return Error::system(errno, "look at its capabilities");
  sets[0].effective = sets[0].permitted = had[0].permitted & kept;
  if (::syscall(SYS_capset, &header, sets.data()) == 0) return {};
  return Error::system(errno, "give up capabilities");
}

bool install(const seccomp::Program& program) {
  sock_fprog given{.len = static_cast<unsigned short>(program.size()),
                   .filter = const_cast<sock_filter*>(program.data())};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &given) == 0;
}

Result<void> close_doors(const Kind& kind) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return Error::system(errno, "give up new privileges");
  if (!kind.opens_files) TRY(landlock::give_up_paths({.signals = kind.signals}));
  TRY(drop_capabilities(kind.capabilities));
  if (!install(program_of(calls_of(kind, shape.engine), SECCOMP_RET_TRAP)))
    return Error::system(errno, "install the filter of system calls");
  return {};
}

}  // namespace

void begin(const Shape& wanted) {
#ifdef __SANITIZE_ADDRESS__
  return;  // the calls of a sanitizer are in nobody's list
#endif
  shape = wanted;
  begun = true;
  // For one more heap the C library would count the processors, from a file.
  ::mallopt(M_ARENA_MAX, kHeaps);
  install_handler();
  if (shape.engine == Engine::kQemu)
    program_of_qemu = program_of(calls_of_qemu(), SECCOMP_RET_ERRNO | ENOSYS);
}

void enter(std::string_view name) {
  if (!begun) return;
  const Kind* const kind = kind_of(name);
  if (kind != nullptr) own_kind = kind->name;
  const Result<void> closed =
      kind != nullptr ? close_doors(*kind)
                      : Result<void>(Error(Code::kState, "nobody has said what it may do"));
  if (closed) return;
  std::fprintf(stderr, "vrun-vmm: jail of thread %.*s: %s\n", static_cast<int>(name.size()),
               name.data(), closed.error().text().c_str());
  ::_exit(kCannot);
}

bool enter_as_qemu() {
  return !begun || install(program_of_qemu);
}

}  // namespace vrun::vmm::jail
