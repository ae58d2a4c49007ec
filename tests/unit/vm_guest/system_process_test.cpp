#include "vm/guest/system_process.hpp"

#include <array>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

namespace vrun::vm {
namespace {

struct Ran {
  sys::Exit exit;
  std::string out, errors;
};

std::string all_of(const Fd& from) {
  std::string text;
  std::array<char, 4096> buffer;
  for (ssize_t got = 1; got != 0;) {
    got = ::read(from.get(), buffer.data(), buffer.size());
    if (got < 0 && errno != EAGAIN) break;
    if (got > 0) text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

oci::User user_of(uid_t uid, gid_t gid) {
  oci::User user;
  user.uid = Uid(uid);
  user.gid = Gid(gid);
  return user;
}

Result<Ran> ran(const ExecRequest& request) {
  Pipes pipes = TRY(Pipes::create(user_of(::getuid(), ::getgid())));
  Fd console;
  const sys::Child child = TRY(start_in_system(request, pipes, console));
  for (Fd& end : pipes.theirs)
    end.reset();
  pipes.ours[0].reset();
  Ran done;
  done.exit = TRY(sys::wait(child.pidfd.get()));
  done.out = all_of(pipes.ours[1]);
  done.errors = all_of(pipes.ours[2]);
  return done;
}

ExecRequest shell(const std::string& script) {
  ExecRequest request;
  request.args = {"sh", "-c", script};
  request.user = user_of(::getuid(), ::getgid());
  return request;
}

class SystemProcess : public testing::Test {
 protected:
  void SetUp() override {
    if (::getuid() != 0) GTEST_SKIP() << "needs root, who may choose the groups of a process";
  }
};

TEST_F(SystemProcess, has_streams_an_exit_code_and_a_session_of_its_own) {
  const Result<Ran> done =
      ran(shell("echo out; echo err >&2; set -- $(cat /proc/$$/stat); echo $(($6 == $$)); exit 7"));
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->exit.code(), 7);
  EXPECT_EQ(done->out, "out\n1\n");
  EXPECT_EQ(done->errors, "err\n");
}

TEST_F(SystemProcess, has_only_the_environment_that_was_asked_for) {
  ExecRequest request = shell("cd /; env | grep -v ^_ | grep -v ^PWD | sort");
  request.env = {"A=b", "PATH=/bin:/usr/bin"};
  const Result<Ran> done = ran(request);
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->out.substr(0, 4), "A=b\n");
  EXPECT_NE(done->out.find("HOME=/root\n"), std::string::npos) << done->out;
  EXPECT_NE(done->out.find("PATH=/bin:/usr/bin\n"), std::string::npos) << done->out;
}

TEST_F(SystemProcess, is_the_user_that_was_asked_for) {
  ExecRequest request = shell("id -u; id -g; id -G");
  request.user = user_of(1234, 77);
  request.user->additional_gids = {Gid(88)};
  const Result<Ran> done = ran(request);
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->out, "1234\n77\n77 88\n");
}

TEST_F(SystemProcess, a_program_that_is_not_there_or_none_says_so_with_its_exit_status) {
  ExecRequest request = shell("");
  for (const auto& [program, status] :
       {std::pair("no-such-program", 127), std::pair("/no/such", 127), std::pair("/etc", 126),
        std::pair("", 127)}) {
    request.args = {program};
    const Result<Ran> done = ran(request);
    ASSERT_FALSE(done) << program;
    EXPECT_EQ(status_of(done.error()), status) << program;
  }
  request = shell("true");
  request.cwd = "/no-such";
  EXPECT_EQ(status_of(ran(request).error()), 125);
}

TEST_F(SystemProcess, rights_beyond_its_users_are_refused) {
  ExecRequest request = shell("true");
  request.capabilities = {"CAP_SYS_ADMIN"};
  EXPECT_EQ(ran(request).error().code(), Code::kUnsupported);
}

TEST_F(SystemProcess, a_terminal_is_its_controlling_one_and_has_the_size) {
  ExecRequest request = shell("stty size </dev/tty");
  request.terminal = true;
  request.console_size = oci::ConsoleSize{.height = 33, .width = 99};
  Fd console;
  const Result<sys::Child> child = start_in_system(request, Pipes(), console);
  ASSERT_TRUE(child) << child.error().text();
  std::array<char, 64> buffer{};
  const ssize_t got = ::read(console.get(), buffer.data(), buffer.size());
  ASSERT_GT(got, 0);
  EXPECT_EQ(std::string(buffer.data(), static_cast<std::size_t>(got)), "33 99\r\n");
  EXPECT_EQ(sys::wait(child->pidfd.get())->code(), 0);
}

}  // namespace
}  // namespace vrun::vm
