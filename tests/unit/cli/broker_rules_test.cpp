#include "cli/broker_rules.hpp"

#include <gtest/gtest.h>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {
namespace {

using Words = std::vector<std::string>;

bool passes(const Words& words) {
  return check_brokered("acme", words).has_value();
}

TEST(BrokerRulesTest, verbs_of_one_tenant_pass) {
  for (const Words& words : std::vector<Words>{{"ps"},
                                               {"--debug", "ps", "-a"},
                                               {"run", "--rm", "base", "sh", "-c", "x"},
                                               {"run", "base", "--env-file", "x"},  // the guest's
                                               {"cp", "web:/etc", "-"},
                                               {"cp", "-", "web:/etc"},
                                               {"ps", "--tenant", "acme"},
                                               {"tenant", "show", "acme"},
                                               {"checkpoint", "web"},
                                               {"restore", "web"},
                                               {"save", "base"},
                                               {"import", "-", "x"},
                                               {},
                                               {"--help"},
                                               {"help", "run"}})
    EXPECT_TRUE(passes(words)) << ::testing::PrintToString(words);
}

TEST(BrokerRulesTest, what_reaches_further_is_refused) {
  for (const Words& words : std::vector<Words>{{"info"},
                                               {"restore"},
                                               {"image", "prune"},
                                               {"tenant", "update", "acme"},
                                               {"tenant", "show", "other"},
                                               {"tenant", "show", "acme", "other"},
                                               {"tenant", "stop", "--time", "0", "other"},
                                               {"ps", "--tenant", "other"},
                                               {"ps", "-tenant=other"},
                                               {"run", "--rm", "--tenant=other", "base"},
                                               {"--tenant", "other", "ps"},
                                               {"--data-dir=/x", "ps"},
                                               {"--data-dir", "/x", "ps"},
                                               {"oci", "list"},
                                               {"guest-step", "a", "b"},
                                               {"run", "--bundle", "/x", "id"},
                                               {"create", "--bundle=/x", "id"},
                                               {"nothing"}})
    EXPECT_FALSE(passes(words)) << ::testing::PrintToString(words);
}

TEST(BrokerRulesTest, files_of_the_host_are_refused_however_they_are_written) {
  for (const Words& words :
       std::vector<Words>{{"run", "--env-file", "/etc/shadow", "base"},
                          {"run", "-env-file=/etc/shadow", "base"},
                          {"exec", "--env-file=/x", "web", "env"},
                          {"save", "-o", "/x", "base"},
                          {"save", "-o/x", "base"},
                          {"save", "--output=/x", "base"},
                          {"load", "-i/x"},
                          {"load", "--input", "/x"},
                          {"export", "-o", "/x", "web"},
                          {"cp", "web:/etc", "/x"},
                          {"cp", "/x", "web:/etc"},
                          {"cp", "web:/etc", "web:/x"},
                          {"import", "/x"},
                          {"run", "--security-opt", "seccomp=/x", "base"},
                          {"run", "-v", "./x:/x", "base"},
                          {"update", "--disk-add", "/x", "web"},
                          {"update", "--disk-add=/x", "web"},
                          {"update", "--volume-add", "./x:/x", "web"},
                          {"network", "create", "--subnet", "8.8.8.0/24", "x"}})
    EXPECT_FALSE(passes(words)) << ::testing::PrintToString(words);
}

TEST(BrokerRulesTest, variables_without_a_value_take_the_callers_own) {
  // Root's vrun has no environment of its own there: the caller's half sends what it means.
  EXPECT_TRUE(passes({"run", "-e", "NAME", "base"}));
}

TEST(BrokerRulesTest, every_allowed_verb_is_a_verb_or_is_refused_by_vrun_itself) {
  // A verb that is in no list is refused: new ones have to be thought about first.
  EXPECT_FALSE(is_brokered_verb("some new verb"));
  EXPECT_TRUE(is_brokered_verb("run"));
  std::size_t refused = 0;
  for (const EverydayVerb& verb : everyday_verbs())
    refused += is_brokered_verb(verb.name.view()) ? 0U : 1U;
  EXPECT_GT(refused, 5U);
}

}  // namespace
}  // namespace vrun::cli
