// A program that could not be found or executed: in runc's words, with the reason we can see.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>

#include <elf.h>

#include "base/text.hpp"
#include "process/plan.hpp"

namespace vrun::process {
namespace {

// As errno_text, but without the name of the errno: engines compare these words.
std::string words_of(int sys_errno) {
  std::string text = errno_text(sys_errno);
  const std::size_t name = text.rfind(" (E");
  return name == std::string::npos ? text : text.substr(0, name);
}

// Go's %q for what can stand in argv[0]: double quotes, with quotes and backslashes escaped.
std::string go_quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return printable(out + "\"");
}

// ---- what the head of the file tells ----

struct Machine {
  std::uint16_t number;
  std::string_view name;
};

constexpr std::array<Machine, 9> kMachines{{{EM_386, "i386"},
                                            {EM_ARM, "arm"},
                                            {EM_X86_64, "x86_64"},
                                            {EM_AARCH64, "aarch64"},
                                            {EM_PPC64, "ppc64"},
                                            {EM_S390, "s390x"},
                                            {EM_MIPS, "mips"},
                                            {EM_RISCV, "riscv64"},
                                            {EM_LOONGARCH, "loongarch64"}}};

#if defined(__x86_64__)
constexpr std::uint16_t kHere = EM_X86_64;
#elif defined(__aarch64__)
constexpr std::uint16_t kHere = EM_AARCH64;
#else
#error "name the ELF machine of this architecture"
#endif

std::string machine_name(std::uint16_t number) {
  for (const Machine& machine : kMachines) {
    if (machine.number == number) return std::string(machine.name);
  }
  return "machine " + std::to_string(number);
}

template <typename T>
std::optional<T> at_offset(std::string_view bytes, std::size_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

bool is_elf(std::string_view head) {
  return head.starts_with(std::string_view(ELFMAG, SELFMAG));
}

template <typename Header, typename Segment>
std::string elf_interpreter(std::string_view head) {
  const auto header = at_offset<Header>(head, 0);
  if (!header || header->e_phentsize != sizeof(Segment)) return {};
  for (std::size_t i = 0; i < header->e_phnum; ++i) {
    const auto segment = at_offset<Segment>(head, header->e_phoff + i * sizeof(Segment));
    if (!segment) return {};
    if (segment->p_type != PT_INTERP) continue;
    if (segment->p_offset >= head.size()) return {};
    const std::string_view rest = head.substr(segment->p_offset);
    return std::string(rest.substr(0, std::min<std::size_t>(rest.find('\0'), segment->p_filesz)));
  }
  return {};
}

std::string interpreter_of(std::string_view head) {
  if (head.size() <= EI_CLASS) return {};
  return head[EI_CLASS] == ELFCLASS32 ? elf_interpreter<Elf32_Ehdr, Elf32_Phdr>(head)
                                      : elf_interpreter<Elf64_Ehdr, Elf64_Phdr>(head);
}

// The machine of an ELF file; empty for another byte order, which is foreign anyhow.
std::optional<std::uint16_t> machine_of(std::string_view head) {
  if (head.size() <= EI_DATA || head[EI_DATA] != ELFDATA2LSB) return std::nullopt;
  return at_offset<std::uint16_t>(head, offsetof(Elf64_Ehdr, e_machine));
}

std::string explain_elf(int sys_errno, std::string_view path, std::string_view head) {
  if (head.size() < sizeof(Elf32_Ehdr)) return quote(path) + " is a truncated ELF file";
  const auto machine = machine_of(head);
  const bool foreign =
      !machine || (*machine != kHere && !(kHere == EM_X86_64 && *machine == EM_386));
  if (sys_errno == ENOEXEC && foreign)
    return quote(path) + " is for " + (machine ? machine_name(*machine) : "a big-endian machine") +
           ", this machine is " + machine_name(kHere) +
           "; use an image for this architecture, or register an emulator (binfmt_misc)";
  if (sys_errno == ENOEXEC)
    return quote(path) + " is a damaged ELF file, or one this kernel has no support for";
  const std::string interpreter = interpreter_of(head);
  if (sys_errno == ENOENT && !interpreter.empty())
    return quote(path) + " needs the interpreter " + quote(interpreter) +
           ", which the image does not have; install the C library it was built for, or link it "
           "statically";
  if (sys_errno == EACCES && !interpreter.empty())
    return quote(path) + " or its interpreter " + quote(interpreter) +
           " may not be executed by this user, or lies on a mount with noexec";
  return {};
}

std::string explain_script(int sys_errno, std::string_view path, std::string_view head) {
  const std::string_view line = head.substr(2, head.find('\n') - 2);
  const bool carriage_return = line.ends_with('\r');
  const std::string_view words = trim(line);
  const std::string_view interpreter = words.substr(0, words.find_first_of(" \t"));
  if (interpreter.empty())
    return "the first line of " + quote(path) + " names no interpreter after '#!'";
  if (sys_errno == ENOENT && carriage_return)
    return "the first line of " + quote(path) +
           " ends with a carriage return, so the kernel looks for the interpreter " +
           quote(std::string(interpreter) + "\r") + "; save the file with Unix line ends";
  if (sys_errno == ENOENT)
    return quote(path) + " needs the interpreter " + quote(interpreter) +
           ", which the image does not have";
  if (sys_errno == EACCES)
    return quote(path) + " or its interpreter " + quote(interpreter) +
           " may not be executed by this user, or lies on a mount with noexec";
  return {};
}

std::string explain_other(std::string_view path, std::string_view head) {
  if (head.empty()) return quote(path) + " is empty";
  const bool text = std::all_of(head.begin(), head.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t' || c == '\r';
  });
  if (text)
    return quote(path) + " is a text file without an interpreter line; begin it with '#!/bin/sh'";
  return quote(path) + " is neither an ELF file nor a script";
}

// ---- errno alone ----

std::string explain_errno(int sys_errno, std::string_view path) {
  switch (sys_errno) {
    case E2BIG:
      return "the arguments and the environment are larger than the kernel takes (a quarter of the "
             "stack limit, 128 KiB for one of them)";
    case ETXTBSY:
      return quote(path) + " is open for writing somewhere";
    case EACCES:
      return quote(path) + " may not be executed by this user, or lies on a mount with noexec";
    case EAGAIN:
      return "the user has more processes than RLIMIT_NPROC allows";
    case ENOMEM:
      return "the limits of memory or address space are too low for the program";
    case EPERM:
      return "a security module, or a seccomp rule for execve, forbids it";
    case ELIBBAD:
      return "the interpreter of " + quote(path) + " is not a usable ELF file";
    default:
      return {};
  }
}

Code code_of(int sys_errno) {
  switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
      return Code::kNotFound;
    case EACCES:
    case EPERM:
    case EISDIR:
      return Code::kDenied;
    default:
      return Code::kSystem;
  }
}

Error find_error(int sys_errno, std::string_view note, const std::string& name) {
  const std::string start = "exec: " + go_quote(name) + ": ";
  if (name.find('/') == std::string::npos)
    return Error(Code::kNotFound, start + "executable file not found in $PATH")
        .hint("install it in the image, or give its path; PATH comes from process.env");
  if (note.starts_with("stat"))
    return Error(code_of(sys_errno),
                 start + "stat " + printable(name) + ": " + words_of(sys_errno));
  // Docker before 23 knows only these words for its exit code 126.
  const char* also = sys_errno == EISDIR ? ": permission denied" : "";
  Error error(code_of(sys_errno), start + words_of(sys_errno) + also);
  if (note.starts_with("noexec")) return std::move(error).hint("it lies on a mount with noexec");
  if (sys_errno == EACCES)
    return std::move(error).hint(
        "the user of the process may not execute it; see its mode (chmod "
        "+x) and those of the directories above");
  return error;
}

Error exec_error(int sys_errno, std::string_view note, const std::string& name) {
  const std::size_t end = note.find('\0');
  const std::string_view path = note.empty() ? name : note.substr(0, end);
  const std::string_view head =
      end == std::string_view::npos ? std::string_view() : note.substr(end + 1);
  Error error(code_of(sys_errno), "exec " + printable(path) + ": " + words_of(sys_errno));
  const std::string why = explain_exec_failure(sys_errno, path, head);
  return why.empty() ? std::move(error) : std::move(error).hint(why);
}

}  // namespace

std::string explain_exec_failure(int sys_errno, std::string_view path, std::string_view file_head) {
  std::string why;
  if (is_elf(file_head)) {
    why = explain_elf(sys_errno, path, file_head);
  } else if (file_head.starts_with("#!")) {
    why = explain_script(sys_errno, path, file_head);
  } else if (sys_errno == ENOEXEC) {
    why = explain_other(path, file_head);
  }
  return why.empty() ? explain_errno(sys_errno, path) : why;
}

Error program_error(steps::Op op, int sys_errno, std::string_view note,
                    const std::vector<std::string>& argv) {
  const std::string name = argv.empty() ? std::string() : argv.front();
  if (op == steps::Op::kFindProgram) return find_error(sys_errno, note, name);
  return exec_error(sys_errno, note, name);
}

std::string hint_for(const steps::Step& step, int sys_errno) {
  using steps::Op;
  switch (step.op) {
    case Op::kRlimits:
      if (sys_errno == EPERM)
        return "raising a limit needs CAP_SYS_RESOURCE; ask for less, or raise the limit of the "
               "caller";
      break;
    case Op::kScheduler:
      if (sys_errno == EPERM)
        return "this policy needs CAP_SYS_NICE, or RLIMIT_RTPRIO and RLIMIT_NICE that allow it";
      if (sys_errno == EBUSY) return "the processors have no bandwidth left for this deadline";
      break;
    case Op::kIoPriority:
      if (sys_errno == EPERM) return "IOPRIO_CLASS_RT needs CAP_SYS_NICE or CAP_SYS_ADMIN";
      break;
    case Op::kAffinity:
      if (sys_errno == EINVAL)
        return "name processors that are online and in the cpuset of the container";
      break;
    case Op::kMemoryPolicy:
      if (sys_errno == EINVAL)
        return "name memory nodes that exist and are in the cpuset of the container; some modes "
               "need a newer kernel";
      break;
    case Op::kChdir:
      if (sys_errno == ENOENT) return "create it in the image, or choose another directory";
      if (sys_errno == EXDEV || sys_errno == ELOOP) return "it leads outside the container's root";
      break;
    case Op::kExecLabel:
      if (sys_errno == ENOENT) return "load the profile on the host first (apparmor_parser)";
      if (sys_errno == EINVAL) return "the loaded policy does not know this label";
      break;
    case Op::kCredentials:
      if (sys_errno == EINVAL) return "the id is not mapped in the container's user namespace";
      if (sys_errno == EPERM) return "the caller may not change to this user or set these groups";
      break;
    case Op::kSeccomp:
      if (sys_errno == EACCES)
        return "loading a filter needs CAP_SYS_ADMIN, or process.noNewPrivileges";
      if (sys_errno == EBUSY) return "the process already has a seccomp listener";
      if (sys_errno == EINVAL) return "the kernel does not know a flag or an action of the filter";
      break;
    default:
      break;
  }
  return {};
}

}  // namespace vrun::process
