// The last stretch run for real, each case in a process of its own. What changes the root needs
// root; the rest runs for anybody.
#include "process/exec_child.hpp"

#include <csignal>
#include <cstring>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "tests/unit/process/in_child.hpp"

namespace vrun::process {
namespace {

// The stage's context, with the program block that some steps write to.
struct Stage {
  steps::Program program{};
  steps::Context context{};
  Stage() {
    context.program = &program;
    context.wire = -1;
  }
  std::string note() const { return {context.note, context.note_bytes}; }
};

class ExecChild : public ::testing::Test {
 protected:
  ExecChild() {
    char name[] = "/tmp/vrun-exec-XXXXXX";
    root_ = ::mkdtemp(name);
    ::chmod(root_.c_str(), 0755);
    dir("/bin");
    dir("/etc");
  }
  ~ExecChild() override { (void)fs::remove_tree(At::cwd(), root_); }

  void dir(const std::string& path) const { ::mkdir((root_ + path).c_str(), 0755); }
  void file(const std::string& path, const std::string& text, mode_t mode = 0644) const {
    std::ofstream(root_ + path) << text;
    ::chmod((root_ + path).c_str(), mode);
  }
  // A context whose root is the temporary folder.
  int open_root() const { return ::open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC); }

  long find(const std::string& name, const char* search_path, std::string& found,
            std::string* note = nullptr) const {
    Stage stage;
    const char* argv[] = {name.c_str(), nullptr};
    const long result = find_program(stage.context, {nullptr, argv, nullptr, search_path, ~0ULL});
    found = stage.program.found_program;
    if (note != nullptr) *note = stage.note();
    return result;
  }

  std::string root_;
};

TEST_F(ExecChild, finds_a_program_in_path) {
  file("/bin/tool", "#!/bin/sh\n", 0755);
  dir("/bin2");
  file("/bin2/tool", "", 0644);  // not executable: passed over
  std::string found;
  const std::string path = "relative:" + root_ + "/bin2:" + root_ + "/bin";
  EXPECT_EQ(find("tool", path.c_str(), found), 0);
  EXPECT_EQ(found, root_ + "/bin/tool");
  EXPECT_EQ(find("other", path.c_str(), found), -ENOENT);
  EXPECT_EQ(find("tool", nullptr, found), -ENOENT);
  EXPECT_EQ(find("tool", "", found), -ENOENT);
  EXPECT_EQ(find("", path.c_str(), found), -ENOENT);
}

TEST_F(ExecChild, never_searches_the_working_directory) {
  file("/tool", "#!/bin/sh\n", 0755);
  const int status = in_child([&] {
    if (::chdir(root_.c_str()) != 0) return 1;
    std::string found;
    return find("tool", ":.:./", found) == -ENOENT ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(ExecChild, says_why_a_path_cannot_be_executed) {
  file("/bin/plain", "x");
  std::string found, note;
  EXPECT_EQ(find(root_ + "/none", "/bin", found, &note), -ENOENT);
  EXPECT_EQ(note, "stat");
  EXPECT_EQ(find(root_ + "/bin/plain", "/bin", found, &note), -EACCES);
  EXPECT_EQ(note, "");
  EXPECT_EQ(find(root_ + "/bin", "/bin", found, &note), -EISDIR);
  EXPECT_EQ(find(root_ + "/bin/plain/x", "/bin", found, &note), -ENOTDIR);
  EXPECT_EQ(find("/dev/null", "/bin", found, &note), -EACCES);
}

TEST_F(ExecChild, a_failed_exec_shows_the_head_of_the_file) {
  file("/bin/odd", "odd content\n", 0755);
  Stage stage;
  const std::string path = root_ + "/bin/odd";
  std::strcpy(stage.program.found_program, path.c_str());
  const char* argv[] = {"odd", nullptr};
  const char* envp[] = {nullptr};
  EXPECT_EQ(exec(stage.context, {nullptr, argv, envp, nullptr, 0}), -ENOEXEC);
  EXPECT_EQ(stage.note(), path + std::string(1, '\0') + "odd content\n");
}

TEST_F(ExecChild, exec_runs_the_program_with_its_environment) {
  const int status = in_child([] {
    Stage stage;
    const char* argv[] = {"sh", "-c", "exit $CODE", nullptr};
    const char* envp[] = {"CODE=42", nullptr};
    return static_cast<int>(-exec(stage.context, {"/bin/sh", argv, envp, nullptr, 0}));
  });
  EXPECT_EQ(status, 42);
}

TEST_F(ExecChild, home_is_the_directory_of_the_uid) {
  file("/etc/passwd",
       "# comment\nroot:x:0:0:root:/root:/bin/sh\nshort:x:7\nbad:x:1x:0::/bad:/bin/sh\n"
       "dup:x:7:7::/first:/bin/sh\ndup:x:7:7::/second:/bin/sh\nlast:x:9:9::/last");
  const int fd = open_root();
  const auto home_of = [&](std::uint32_t uid) {
    Stage stage;
    stage.context.root_fd = fd;
    char value[64] = "HOME=/";
    EXPECT_EQ(home(stage.context, {value, sizeof(value), uid}), 0);
    return std::string(value);
  };
  EXPECT_EQ(home_of(0), "HOME=/root");
  EXPECT_EQ(home_of(7), "HOME=/first");
  EXPECT_EQ(home_of(9), "HOME=/last");
  EXPECT_EQ(home_of(1), "HOME=/");
  EXPECT_EQ(home_of(8), "HOME=/");
  ::close(fd);
}

TEST_F(ExecChild, home_survives_hostile_passwd_files) {
  const int fd = open_root();
  const auto home_of_1 = [&] {
    Stage stage;
    stage.context.root_fd = fd;
    char value[16] = "HOME=/";
    EXPECT_EQ(home(stage.context, {value, sizeof(value), 1}), 0);
    return std::string(value);
  };
  EXPECT_EQ(home_of_1(), "HOME=/");  // no file
  file("/etc/passwd", "a:x:1:1::/" + std::string(9000, 'x') + ":/bin/sh\na:x:1:1::/ok:/bin/sh\n");
  EXPECT_EQ(home_of_1(), "HOME=/ok");
  file("/etc/passwd", "a:x:99999999999999999999999:1::/wrap:/bin/sh\n");
  EXPECT_EQ(home_of_1(), "HOME=/");
  ::unlink((root_ + "/etc/passwd").c_str());
  ::mkfifo((root_ + "/etc/passwd").c_str(), 0600);
  EXPECT_EQ(home_of_1(), "HOME=/");  // and does not hang
  ::close(fd);
}

TEST_F(ExecChild, home_does_not_leave_the_root_by_a_link) {
  ASSERT_EQ(::symlink("/../../../../../../etc/passwd", (root_ + "/etc/passwd").c_str()), 0);
  const int fd = open_root();
  Stage stage;
  stage.context.root_fd = fd;
  char value[64] = "HOME=/";
  EXPECT_EQ(home(stage.context, {value, sizeof(value), 0}), 0);
  EXPECT_STREQ(value, "HOME=/");  // inside the root the link points to itself
  ::close(fd);
}

TEST_F(ExecChild, makes_a_missing_working_directory_beneath_the_root) {
  ASSERT_EQ(::symlink("/bin", (root_ + "/link").c_str()), 0);
  const int fd = open_root();
  const auto make = [&](const char* path) {
    Stage stage;
    stage.context.root_fd = fd;
    return make_cwd(stage.context, {path, steps::ChdirTurn::kOnly});
  };
  EXPECT_EQ(make("/a//b/c/"), 0);
  EXPECT_EQ(make("/link/d"), 0);
  EXPECT_EQ(make("/"), 0);
  struct stat status {};
  EXPECT_EQ(::stat((root_ + "/a/b/c").c_str(), &status), 0);
  EXPECT_TRUE(S_ISDIR(status.st_mode));
  EXPECT_EQ(::stat((root_ + "/bin/d").c_str(), &status), 0);  // not the host's /bin
  ::close(fd);
}

TEST_F(ExecChild, changes_into_a_directory) {
  const int status = in_child([&] {
    Stage stage;
    if (chdir(stage.context, {root_.c_str(), steps::ChdirTurn::kOnly}) != 0) return 1;
    char where[4096];
    return ::getcwd(where, sizeof(where)) != nullptr && root_ == where ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(ExecChild, refuses_a_descriptor_as_working_directory) {
  // CVE-2024-21626: a descriptor that leads to the host's directories
  const int fd = open_root();
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const int status = in_child([&] {
    Stage stage;
    return chdir(stage.context, {path.c_str(), steps::ChdirTurn::kOnly}) == -ELOOP ? 0 : 1;
  });
  EXPECT_EQ(status, 0);
  ::close(fd);
}

TEST_F(ExecChild, a_working_directory_outside_the_root_is_refused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, for chroot";
  const int outside = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  const int status = in_child([&] {
    if (::chroot(root_.c_str()) != 0) return 1;
    Stage stage;
    stage.context.root_fd = outside;  // as if something had left it open
    return chdir(stage.context, {"/tmp", steps::ChdirTurn::kOnly}) == -EXDEV ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
  ::close(outside);
}

TEST_F(ExecChild, the_first_turn_passes_over_a_denied_directory_and_the_last_tries_again) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become another user";
  dir("/private");
  ::chmod((root_ + "/private").c_str(), 0700);
  const std::string path = root_ + "/private";
  const int status = in_child([&] {
    Stage stage;
    // as root it works at once, and the last turn leaves it alone
    if (chdir(stage.context, {path.c_str(), steps::ChdirTurn::kFirst}) != 0) return 1;
    if (!stage.context.cwd_entered || ::setresuid(65534, 65534, 65534) != 0) return 2;
    if (chdir(stage.context, {path.c_str(), steps::ChdirTurn::kLast}) != 0) return 3;
    // as another user it does not
    Stage other;
    if (chdir(other.context, {path.c_str(), steps::ChdirTurn::kFirst}) != 0) return 4;
    return chdir(other.context, {path.c_str(), steps::ChdirTurn::kLast}) == -EACCES ? 0 : 5;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(ExecChild, stdio_is_put_in_place_whatever_the_numbers) {
  const int status = in_child([&] {
    // the sources are 2, 0 and 1: every one would be overwritten by a naive loop
    int files[3];
    for (int i = 0; i < 3; ++i) {
      files[i] = ::open((root_ + "/" + std::to_string(i)).c_str(), O_RDWR | O_CREAT, 0600);
      if (::write(files[i], std::to_string(i).c_str(), 1) != 1) return 1;
    }
    for (int i = 0; i < 3; ++i)
      ::dup2(files[i], i);
    Stage stage;
    if (stdio(stage.context, {2, 0, 1}) != 0) return 2;
    const char expected[] = {'2', '0', '1'};
    for (int i = 0; i < 3; ++i) {
      char c = 0;
      if (::pread(i, &c, 1, 0) != 1 || c != expected[i]) return 3 + i;
    }
    return 0;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(ExecChild, stdio_survives_exec_even_where_nothing_moves) {
  const int status = in_child([&] {
    ::fcntl(1, F_SETFD, FD_CLOEXEC);
    Stage stage;
    if (stdio(stage.context, {-1, 1, -1}) != 0) return 1;
    return ::fcntl(1, F_GETFD) == 0 ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(ExecChild, signals_are_reset) {
  const int status = in_child([] {
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGTERM, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    Stage stage;
    if (reset_signals(stage.context) != 0) return 1;
    struct sigaction now {};
    ::sigaction(SIGPIPE, nullptr, &now);
    if (now.sa_handler != SIG_DFL) return 2;
    ::sigaction(SIGTERM, nullptr, &now);
    if (now.sa_handler != SIG_DFL) return 3;
    sigset_t mask;
    ::sigprocmask(SIG_SETMASK, nullptr, &mask);
    return sigismember(&mask, SIGTERM) == 0 && sigismember(&mask, SIGUSR1) == 0 ? 0 : 4;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(ExecChild, no_descriptor_but_the_kept_ones_survives_exec) {
  const int status = in_child([] {
    for (int fd = 3; fd < 8; ++fd)
      ::dup2(0, fd);
    Stage stage;
    if (close_descriptors(stage.context, {5}) != 0) return 1;
    for (int fd = 3; fd < 5; ++fd) {
      if (::fcntl(fd, F_GETFD) != 0) return 2;
    }
    for (int fd = 5; fd < 8; ++fd) {
      if (::fcntl(fd, F_GETFD) != FD_CLOEXEC) return 3;
    }
    return 0;
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace vrun::process
