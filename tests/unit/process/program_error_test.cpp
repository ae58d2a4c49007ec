#include <cerrno>
#include <cstring>

#include <elf.h>
#include <gtest/gtest.h>

#include "process/plan.hpp"

namespace vrun::process {
namespace {

using namespace std::string_literals;

std::string find_text(int sys_errno, std::string_view note, const std::string& name) {
  return program_error(steps::Op::kFindProgram, sys_errno, note, {name}).text();
}

TEST(ProgramError, not_found_is_in_the_words_of_runc) {
  EXPECT_EQ(find_text(ENOENT, "", "foo"), "exec: \"foo\": executable file not found in $PATH");
  EXPECT_EQ(find_text(ENOENT, "stat", "/bin/foo"),
            "exec: \"/bin/foo\": stat /bin/foo: no such file or directory");
  EXPECT_EQ(find_text(EACCES, "", "/x"), "exec: \"/x\": permission denied");
  EXPECT_EQ(find_text(EACCES, "stat", "/a/x"), "exec: \"/a/x\": stat /a/x: permission denied");
  EXPECT_EQ(find_text(EISDIR, "", "/dir"), "exec: \"/dir\": is a directory: permission denied");
}

TEST(ProgramError, code_and_hint_follow_the_reason) {
  EXPECT_EQ(program_error(steps::Op::kFindProgram, ENOENT, "", {"foo"}).code(), Code::kNotFound);
  const Error denied = program_error(steps::Op::kFindProgram, EACCES, "noexec", {"/x"});
  EXPECT_EQ(denied.code(), Code::kDenied);
  EXPECT_EQ(denied.hint(), "it lies on a mount with noexec");
}

TEST(ProgramError, odd_names_cannot_play_with_the_terminal) {
  EXPECT_EQ(find_text(ENOENT, "", "a\"\x1b[1m"),
            "exec: \"a\\\"\\x1b[1m\": executable file not found in $PATH");
}

TEST(ProgramError, exec_names_the_path_that_was_found) {
  const Error error = program_error(steps::Op::kExec, ENOEXEC, "/usr/bin/foo\0echo hi\n"s, {"foo"});
  EXPECT_EQ(error.text(), "exec /usr/bin/foo: exec format error");
  EXPECT_EQ(error.hint(),
            "'/usr/bin/foo' is a text file without an interpreter line; begin it with '#!/bin/sh'");
}

// ---- explain_exec_failure: errno, first bytes, what is said ----

struct Elf {
  Elf64_Ehdr header{};
  Elf64_Phdr segment{};
  char interpreter[32] = "/lib64/ld-linux-x86-64.so.2";

  explicit Elf(std::uint16_t machine, bool dynamic = true) {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_machine = machine;
    header.e_phoff = sizeof(header);
    header.e_phentsize = sizeof(segment);
    header.e_phnum = dynamic ? 1 : 0;
    segment.p_type = PT_INTERP;
    segment.p_offset = sizeof(header) + sizeof(segment);
    segment.p_filesz = sizeof(interpreter);
  }
  std::string bytes() const { return {reinterpret_cast<const char*>(this), sizeof(*this)}; }
};

struct Case {
  const char* name;
  int sys_errno;
  std::string head;
  const char* text;
};

class Explain : public ::testing::TestWithParam<Case> {};

TEST_P(Explain, says_why) {
  EXPECT_EQ(explain_exec_failure(GetParam().sys_errno, "/f", GetParam().head), GetParam().text);
}

#if defined(__x86_64__)
constexpr std::uint16_t kHere = EM_X86_64, kOther = EM_AARCH64;
constexpr const char* kForeign =
    "'/f' is for aarch64, this machine is x86_64; use an image for this architecture, or register "
    "an emulator (binfmt_misc)";
#else
constexpr std::uint16_t kHere = EM_AARCH64, kOther = EM_X86_64;
constexpr const char* kForeign =
    "'/f' is for x86_64, this machine is aarch64; use an image for this architecture, or register "
    "an emulator (binfmt_misc)";
#endif

INSTANTIATE_TEST_SUITE_P(
    Table, Explain,
    ::testing::Values(
        Case{"missing_interpreter", ENOENT, Elf(kHere).bytes(),
             "'/f' needs the interpreter '/lib64/ld-linux-x86-64.so.2', which the image does not "
             "have; install the C library it was built for, or link it statically"},
        Case{"wrong_architecture", ENOEXEC, Elf(kOther).bytes(), kForeign},
        Case{"damaged_elf", ENOEXEC, Elf(kHere, false).bytes(),
             "'/f' is a damaged ELF file, or one this kernel has no support for"},
        Case{"short_elf", ENOEXEC, "\177ELF", "'/f' is a truncated ELF file"},
        Case{"carriage_return", ENOENT, "#!/bin/sh\r\necho\r\n",
             "the first line of '/f' ends with a carriage return, so the kernel looks for the "
             "interpreter '/bin/sh\\x0d'; save the file with Unix line ends"},
        Case{"script_without_interpreter", ENOENT, "#! /usr/bin/python3 -u\n",
             "'/f' needs the interpreter '/usr/bin/python3', which the image does not have"},
        Case{"script_naming_nothing", ENOEXEC, "#!\n",
             "the first line of '/f' names no interpreter after '#!'"},
        Case{"empty", ENOEXEC, "", "'/f' is empty"},
        Case{"binary", ENOEXEC, std::string("\1\2\3", 3),
             "'/f' is neither an ELF file nor a script"},
        Case{"busy", ETXTBSY, Elf(kHere).bytes(), "'/f' is open for writing somewhere"},
        Case{"denied", EACCES, "",
             "'/f' may not be executed by this user, or lies on a mount with noexec"},
        Case{"unknown", EIO, "", ""}),
    [](const auto& row) { return std::string(row.param.name); });

// Every prefix of a real header is safe to look at (the note may be cut anywhere).
TEST(ExplainExec, takes_any_prefix) {
  const std::string bytes = Elf(kHere).bytes();
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    for (const int sys_errno : {ENOENT, ENOEXEC, EACCES})
      (void)explain_exec_failure(sys_errno, "/f", std::string_view(bytes).substr(0, n));
  }
  std::string wild = bytes;
  for (std::size_t i = 4; i < wild.size(); ++i) {
    const char kept = wild[i];
    wild[i] = '\xff';
    (void)explain_exec_failure(ENOENT, "/f", wild);
    wild[i] = kept;
  }
}

TEST(HintFor, says_what_can_be_done) {
  EXPECT_NE(hint_for({steps::Op::kRlimits, 0, 0, nullptr}, EPERM).find("CAP_SYS_RESOURCE"),
            std::string::npos);
  EXPECT_EQ(hint_for({steps::Op::kRlimits, 0, 0, nullptr}, EIO), "");
}

}  // namespace
}  // namespace vrun::process
