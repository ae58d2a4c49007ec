#include "base/log.hpp"

#include <cstdlib>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/fs.hpp"

namespace vrun::log {
namespace {

class Log : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(folder_), nullptr);
    file_ = std::string(folder_) + "/log";
  }
  void TearDown() override {
    configure({});
    ::unlink(file_.c_str());
    ::rmdir(folder_);
  }

  // What is in the file, with the time replaced by T.
  std::string lines() const {
    const Result<std::string> text = fs::read_file(At::cwd(), file_, 1U << 20U);
    if (!text) return "no file";
    std::string out = *text;
    constexpr std::size_t kTimeLength = 20;  // 2026-01-02T03:04:05Z
    for (std::size_t at = out.find("20"); at != std::string::npos; at = out.find("20", at + 1)) {
      if (at + kTimeLength <= out.size() && out[at + 10] == 'T' && out[at + 19] == 'Z') {
        out.replace(at, kTimeLength, "T");
      }
    }
    return out;
  }

  char folder_[32] = "/tmp/vrun-log-test.XXXXXX";
  std::string file_;
};

TEST_F(Log, json_has_runc_s_three_fields_and_one_line_for_each_message) {
  configure({.file = file_, .format = Format::kJson, .debug = false});
  write(Level::kError, "open '/x': no such file or directory (ENOENT)");
  warning("w");
  EXPECT_EQ(lines(),
            "{\"level\":\"error\",\"msg\":\"open '/x': no such file or directory "
            "(ENOENT)\",\"time\":\"T\"}\n"
            "{\"level\":\"warning\",\"msg\":\"w\",\"time\":\"T\"}\n");
}

TEST_F(Log, text_is_logrus_s) {
  configure({.file = file_, .format = Format::kText, .debug = false});
  write(Level::kInfo, "a \"b\"");
  EXPECT_EQ(lines(), "time=\"T\" level=info msg=\"a \\\"b\\\"\"\n");
}

TEST_F(Log, control_characters_never_reach_the_file_raw) {
  configure({.file = file_, .format = Format::kJson, .debug = false});
  write(Level::kError, "a\x1b[31m\n\x7f\xc2\x9b\xc3\xa9\\");
  EXPECT_EQ(
      lines(),
      "{\"level\":\"error\",\"msg\":\"a\\u001b[31m\\n\\u007f\\ufffd\\ufffd\xc3\xa9\\\\\",\"time\":"
      "\"T\"}\n");
}

TEST_F(Log, the_file_is_not_touched_before_the_first_line) {
  configure({.file = file_, .format = Format::kJson, .debug = false});
  debug("nobody asked");
  EXPECT_FALSE(enabled(Level::kDebug));
  EXPECT_EQ(lines(), "no file");
}

TEST_F(Log, open_makes_the_file_at_once_or_says_why_not) {
  ASSERT_TRUE(open({.file = file_, .format = Format::kJson, .debug = false}));
  EXPECT_EQ(lines(), "");
  write(Level::kInfo, "x");
  EXPECT_EQ(lines(), "{\"level\":\"info\",\"msg\":\"x\",\"time\":\"T\"}\n");
  const Result<void> refused =
      open({.file = file_ + "/y", .format = Format::kJson, .debug = false});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().text(), "open log '" + file_ + "/y': not a directory (ENOTDIR)");
}

TEST_F(Log, debug_lines_come_when_asked_for) {
  configure({.file = file_, .format = Format::kText, .debug = true});
  debug("here");
  EXPECT_EQ(lines(), "time=\"T\" level=debug msg=\"here\"\n");
}

TEST_F(Log, lines_are_appended) {
  for (int i = 0; i < 2; ++i) {
    configure({.file = file_, .format = Format::kText, .debug = false});
    write(Level::kInfo, "x");
  }
  EXPECT_EQ(lines(), "time=\"T\" level=info msg=\"x\"\ntime=\"T\" level=info msg=\"x\"\n");
}

TEST_F(Log, a_log_that_cannot_be_opened_goes_to_stderr) {
  configure({.file = file_ + "/not/there", .format = Format::kText, .debug = false});
  testing::internal::CaptureStderr();
  write(Level::kError, "still told");
  EXPECT_NE(testing::internal::GetCapturedStderr().find("msg=\"still told\""), std::string::npos);
}

}  // namespace
}  // namespace vrun::log
