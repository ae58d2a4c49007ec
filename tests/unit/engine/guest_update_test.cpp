#include "engine/guest_update.hpp"

#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

RunRequest running() {
  RunRequest request;
  request.image = "base";
  request.memory = "64m";
  request.cpus = "2";
  request.pids_limit = "100";
  return request;
}

TEST(Update, what_is_not_given_stays) {
  RunRequest changes;
  changes.cpus = "0.5";
  const Result<Update> update = plan_update(running(), changes);
  ASSERT_TRUE(update) << update.error().text();
  EXPECT_EQ(update->request.cpus, "0.5");
  EXPECT_EQ(update->request.memory, "64m");
  EXPECT_EQ(update->resources.cpu->quota, 50000);
  EXPECT_EQ(update->resources.memory->limit, 64 << 20);
}

TEST(Update, minus_one_takes_a_limit_away_for_now_and_for_later) {
  RunRequest changes;
  changes.memory = changes.cpus = changes.pids_limit = "-1";
  const Result<Update> update = plan_update(running(), changes);
  ASSERT_TRUE(update) << update.error().text();
  EXPECT_EQ(update->request.memory, "");
  EXPECT_EQ(update->request.cpus, "");
  EXPECT_EQ(update->request.pids_limit, "");
  EXPECT_EQ(update->resources.memory->limit, -1);
  EXPECT_EQ(update->resources.memory->swap, -1);
  EXPECT_EQ(update->resources.cpu->quota, -1);
  EXPECT_EQ(update->resources.pids_limit, -1);
}

TEST(Update, one_scale_of_cpu_shares_replaces_the_other) {
  RunRequest now = running();
  now.cpu_shares = "512";
  RunRequest changes;
  changes.cpu_weight = "200";
  const Result<Update> update = plan_update(now, changes);
  ASSERT_TRUE(update) << update.error().text();
  EXPECT_EQ(update->request.cpu_shares, "");
  EXPECT_EQ(update->request.cpu_weight, "200");
}

TEST(Update, the_restart_policy_can_change) {
  RunRequest changes;
  changes.restart = "on-failure:3";
  EXPECT_EQ(plan_update(running(), changes)->request.restart, "on-failure:3");
  RunRequest now = running();
  now.restart = "always";
  changes.restart = "no";
  EXPECT_EQ(plan_update(now, changes)->request.restart, "");
}

TEST(Update, faults_name_their_flag) {
  RunRequest changes;
  changes.memory = "lots";
  const Result<Update> memory = plan_update(running(), changes);
  ASSERT_FALSE(memory);
  EXPECT_NE(memory.error().text().find("--memory 'lots'"), std::string::npos);
  RunRequest policy;
  policy.restart = "sometimes";
  EXPECT_FALSE(plan_update(running(), policy));
}

TEST(Update, changes_and_takes_away_rates_of_guests_with_a_network) {
  RunRequest changes;
  changes.bandwidth_in = "20M";
  const Result<Update> limited = plan_update(running(), changes);
  ASSERT_TRUE(limited);
  EXPECT_EQ(limited->request.bandwidth_in, "20M");
  changes.bandwidth_in = "-1";
  EXPECT_EQ(plan_update(limited->request, changes)->request.bandwidth_in, "");
  changes.bandwidth_in = "1M";
  RunRequest mute = running();
  mute.network = "none";
  EXPECT_FALSE(plan_update(mute, changes));
}

}  // namespace
}  // namespace vrun::engine
