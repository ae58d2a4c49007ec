#include "tenants/audit.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
