#include "runtime/fault.hpp"

#include <cerrno>
#include <cstring>

#include <gtest/gtest.h>

namespace vrun::runtime {
namespace {

steps::Message fault(std::uint32_t step, int error, std::string_view note = "") {
  steps::Message message{};
  message.kind = steps::MessageKind::kFault;
  message.step = step;
  message.error = error;
  message.text_bytes = static_cast<std::uint32_t>(note.size());
  std::memcpy(message.text, note.data(), note.size());
  return message;
}

class Fault : public testing::Test {
 protected:
  steps::Builder builder_ = *steps::Builder::create(1U << 16U);
};

TEST_F(Fault, says_the_step_the_place_and_the_reason) {
  builder_.add(steps::Op::kHostname, steps::TextArgs{builder_.text("web")}, {"hostname", ""});
  const Error error = to_error(fault(0, EPERM), builder_, {});
  EXPECT_EQ(error.text(), "set hostname 'web' (hostname): operation not permitted (EPERM)");
  EXPECT_EQ(error.step(), "set hostname");
  EXPECT_EQ(error.code(), Code::kDenied);
}

TEST_F(Fault, the_kernels_words_follow_the_reason) {
  builder_.add(steps::Op::kNewSession, {"", "mount tmpfs on /x"});
  EXPECT_EQ(to_error(fault(0, EINVAL, "tmpfs: Bad value for 'size'"), builder_, {}).text(),
            "mount tmpfs on /x: invalid argument (EINVAL): tmpfs: Bad value for 'size'");
}

TEST_F(Fault, a_step_that_does_not_exist_is_not_trusted) {
  EXPECT_EQ(to_error(fault(99, EPERM), builder_, {}).code(), Code::kInternal);
}

TEST_F(Fault, a_missing_program_has_the_words_that_engines_look_for) {
  steps::ExecArgs args{};
  builder_.add(steps::Op::kFindProgram, args, {"process.args", ""});
  const Error error = to_error(fault(0, ENOENT), builder_, {"foo"});
  EXPECT_NE(error.text().find("exec: \"foo\": executable file not found in $PATH"),
            std::string::npos)
      << error.text();
}

TEST_F(Fault, death_names_the_signal_and_the_step) {
  builder_.add(steps::Op::kHostname, steps::TextArgs{builder_.text("web")}, {"hostname", ""});
  ASSERT_NE(builder_.finish(), nullptr);
  builder_.program().current = 0;
  const Error error = died(sys::Exit{true, 9}, builder_);
  EXPECT_EQ(error.text(),
            "the container process was killed by signal 9 during: set hostname 'web' (hostname)");
}

}  // namespace
}  // namespace vrun::runtime
