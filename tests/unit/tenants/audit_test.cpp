#include "tenants/audit.hpp"

#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/json.hpp"

namespace vrun::tenants {
namespace {

using testing::ElementsAre;

TEST(AuditTest, a_line_is_one_json_object_whatever_the_words_are) {
  AuditEntry entry;
  entry.uid = 1000;
  entry.user = "alice";
  entry.by = "broker";
  entry.tenant = "acme";
  entry.verb = "run";
  entry.words = {"a\nb", "\"}", "\xff\x01"};
  entry.code = 3;
  const std::string line = to_line(entry, "2026-01-01T00:00:00Z");
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const Result<json::Document> read = json::Document::parse(line, "line");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->root().find("words")->elements()[0].as_text(), "a\nb");
  EXPECT_EQ(read->root().find("code")->as_unsigned(), 3U);
  EXPECT_EQ(read->root().find("refused"), nullptr);
}

TEST(AuditTest, values_of_variables_and_passwords_are_left_out) {
  EXPECT_THAT(without_secrets({"-e", "A=secret", "--env", "B=secret", "--env=C=secret",
                               "-eD=secret", "--password", "secret", "--password=secret", "-p",
                               "80:80", "base", "A=shown"}),
              ElementsAre("-e", "A=...", "--env", "B=...", "--env=C=...", "-eD=...", "--password",
                          "...", "--password=...", "-p", "80:80", "base", "A=shown"));
  EXPECT_THAT(without_secrets({"-e"}), ElementsAre("-e"));
}

TEST(AuditTest, a_line_is_bounded_whatever_is_asked_for) {
  AuditEntry entry;
  entry.verb = entry.refusal = std::string(100000, 'x');
  entry.words = without_secrets(std::vector<std::string>(1000, std::string(2000, 'y')));
  EXPECT_LT(to_line(entry, "now").size(), 12000U);
  EXPECT_EQ(entry.words.back(), "... and 992 more words");
}

TEST(AuditTest, a_full_log_is_put_away_once_and_takes_the_place_of_the_one_before) {
  std::string dir = testing::TempDir() + "/audit-XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  AuditEntry entry;
  entry.verb = "first";
  ASSERT_TRUE(note(dir, entry));
  const std::string log = dir + "/audit.log", older = log + ".1";
  ASSERT_EQ(::truncate(log.c_str(), 64 << 20), 0);
  entry.verb = "second";
  ASSERT_TRUE(note(dir, entry));
  ASSERT_TRUE(note(dir, entry));
  EXPECT_EQ(std::filesystem::file_size(older), 64U << 20U);
  EXPECT_EQ(std::filesystem::file_size(log), 2 * to_line(entry, now_text()).size());
  std::filesystem::remove_all(dir);
}

TEST(AuditTest, the_caller_is_the_brokers_sudos_or_oneself) {
  Host host;
  host.euid = Uid(0);
  EXPECT_EQ(caller_of(host).by, "root");
  host.env = {"SUDO_UID=1000"};
  EXPECT_EQ(caller_of(host).by, "sudo");
  EXPECT_EQ(caller_of(host).uid, 1000U);
  host.env.push_back("VRUN_CALLER_UID=1001");
  EXPECT_EQ(caller_of(host).by, "broker");
  EXPECT_EQ(caller_of(host).uid, 1001U);
  host.euid = Uid(1002);  // could claim anything
  EXPECT_EQ(caller_of(host).by, "user");
}

}  // namespace
}  // namespace vrun::tenants
