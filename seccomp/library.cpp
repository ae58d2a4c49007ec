#include "seccomp/library.hpp"

#include <cerrno>
#include <memory>

#include <unistd.h>

#include "base/sys.hpp"
#include "seccomp/seccomp.hpp"

namespace vrun::seccomp {
namespace {

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

std::string rule_path(const Rule& rule) {
  return "linux.seccomp.syscalls[" + std::to_string(rule.source) + "]";
}

std::string name_here(int number) {
  const std::unique_ptr<char, decltype(&::free)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number), &::free);
  return name ? name.get() : std::to_string(number);
}

Result<void> add_architectures(scmp_filter_ctx context, const Rules& rules) {
  for (const std::uint32_t arch : rules.architectures) {
    const int result = seccomp_arch_add(context, arch);
    if (result == -EEXIST) continue;
    if (result == -EINVAL || result == -EDOM)
      return Error(Code::kUnsupported,
                   "linux.seccomp.architectures: an architecture of another byte order than this "
                   "machine's cannot be in its filter");
    if (result < 0) return Error::system(-result, "add an architecture to the seccomp filter");
  }
  return {};
}

Result<void> add_rules(scmp_filter_ctx context, const Rules& rules) {
  for (const Rule& rule : rules.rules) {
    const int result = seccomp_rule_add_array(context, rule.action, rule.syscall,
                                              static_cast<unsigned>(rule.conditions.size()),
                                              rule.conditions.data());
    if (result == 0) continue;
    const std::string call = name_here(rule.syscall);
    if (result == -EEXIST)
      return Error(Code::kInvalid, rule_path(rule) + ": contradicts an earlier rule for " + call);
    return Error::system(-result, "add the seccomp rule for " + call).at(rule_path(rule));
  }
  return {};
}

// libseccomp 2.5 exports only to a descriptor.
Result<Program> export_program(scmp_filter_ctx context) {
  const Fd file = TRY(sys::memfd("vrun-seccomp"));
  const int result = seccomp_export_bpf(context, file.get());
  if (result < 0) return Error::system(-result, "generate the seccomp filter");
  const off_t bytes = ::lseek(file.get(), 0, SEEK_END);
  if (bytes < 0) return Error::system(errno, "measure the seccomp filter");
  Program program(static_cast<std::size_t>(bytes) / sizeof(sock_filter));
  const ssize_t got = ::pread(file.get(), program.data(), static_cast<std::size_t>(bytes), 0);
  if (got != bytes) return Error::system(got < 0 ? errno : EIO, "read the seccomp filter");
  return program;
}

}  // namespace

Result<Program> build_with_libseccomp(const Rules& rules) {
  const Context context(seccomp_init(rules.default_action));
  if (!context)
    return Error(Code::kSystem, "start a seccomp filter: libseccomp refuses the default action");
  TRY(add_architectures(context.get(), rules));
  TRY(add_rules(context.get(), rules));
  return export_program(context.get());
}

std::string syscall_name(std::uint32_t audit_arch, std::int64_t number) {
  // libseccomp's names of architectures are the kernel's, but for x32, which is a bit of the
  // number.
  constexpr std::int64_t kX32Bit = 0x40000000;
  const bool x32 = audit_arch == SCMP_ARCH_X86_64 && (number & kX32Bit) != 0;
  const std::unique_ptr<char, decltype(&::free)> name(
      seccomp_syscall_resolve_num_arch(x32 ? SCMP_ARCH_X32 : audit_arch, static_cast<int>(number)),
      &::free);
  return name ? name.get() : "";
}

}  // namespace vrun::seccomp
