#include <gtest/gtest.h>

#include "cli/oci_verbs.hpp"
#include "cli/update_resources.hpp"
#include "tests/unit/cli/words.hpp"

namespace vrun::cli {
namespace {

Result<oci::Resources> resources(const Words& words) {
  const Result<Arguments> given = parse(find_verb("update")->flags(), true, words);
  EXPECT_TRUE(given);
  return resources_of(*given);
}

TEST(UpdateResources, nothing_given_changes_nothing) {
  const auto none = resources({"web"});
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->cpu);
  EXPECT_FALSE(none->memory);
  EXPECT_FALSE(none->pids_limit);
  EXPECT_FALSE(none->block_io);
}

TEST(UpdateResources, every_flag_lands_in_its_field) {
  const auto all = resources({"--blkio-weight=500", "--cpu-period=100000", "--cpu-quota=50000",
                              "--cpu-burst=1000", "--cpu-share=512", "--cpu-rt-period=1000000",
                              "--cpu-rt-runtime=900000", "--cpuset-cpus=0-1", "--cpuset-mems=0",
                              "--memory=512m", "--memory-reservation=256m", "--memory-swap=1g",
                              "--pids-limit=64", "--cpu-idle=1"});
  ASSERT_TRUE(all) << all.error().text();
  EXPECT_EQ(all->block_io->weight, 500);
  EXPECT_EQ(all->cpu->period, 100000U);
  EXPECT_EQ(all->cpu->quota, 50000);
  EXPECT_EQ(all->cpu->burst, 1000U);
  EXPECT_EQ(all->cpu->shares, 512U);
  EXPECT_EQ(all->cpu->realtime_period, 1000000U);
  EXPECT_EQ(all->cpu->realtime_runtime, 900000);
  EXPECT_EQ(all->cpu->cpus, "0-1");
  EXPECT_EQ(all->cpu->mems, "0");
  EXPECT_EQ(all->cpu->idle, 1);
  EXPECT_EQ(all->memory->limit, 512 << 20);
  EXPECT_EQ(all->memory->reservation, 256 << 20);
  EXPECT_EQ(all->memory->swap, 1 << 30);
  EXPECT_EQ(all->pids_limit, 64);
}

TEST(UpdateResources, minus_one_is_no_limit) {
  const auto open =
      resources({"--memory=-1", "--memory-swap", "-1", "--cpu-quota", "-1", "--pids-limit", "-1"});
  ASSERT_TRUE(open);
  EXPECT_EQ(open->memory->limit, -1);
  EXPECT_EQ(open->memory->swap, -1);
  EXPECT_EQ(open->cpu->quota, -1);
  EXPECT_EQ(open->pids_limit, -1);
}

TEST(UpdateResources, all_wrong_values_are_named_at_once) {
  const auto wrong =
      resources({"--memory=lots", "--blkio-weight=5", "--cpu-period=-1", "--cpu-idle=2"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().text(),
            "flag --cpu-period: -1 is not between 0 and 9223372036854775807\n"
            "flag --cpu-idle: 2 is not between 0 and 1\n"
            "flag --memory: 'lots' is not a size such as 512m or 2g, nor -1\n"
            "flag --blkio-weight: 5 is not between 10 and 1000");
}

}  // namespace
}  // namespace vrun::cli
