#include "tenants/budget.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cgroups/convert.hpp"

namespace vrun::tenants {
namespace {

using testing::HasSubstr;

std::string faults_of(const std::vector<FlagText>& given, Budget* out = nullptr) {
  Budget budget;
  json::Faults faults("tenant 'a'");
  read_budget(given, budget, faults);
  if (out != nullptr) *out = budget;
  return faults.empty() ? "" : faults.error().text();
}

TEST(BudgetTest, processors_are_a_list_of_the_kernels_form) {
  Budget budget;
  EXPECT_EQ(faults_of({{"cpuset-cpus", "0-3,8"}}, &budget), "");
  EXPECT_EQ(budget.cpuset_cpus, "0-3,8");
  EXPECT_EQ(to_resources(budget, budget, std::nullopt).cpu->cpus, "0-3,8");
  EXPECT_EQ(faults_of({{"cpuset-cpus", "none"}}, &budget), "");
  EXPECT_EQ(budget.cpuset_cpus, "");
  EXPECT_FALSE(to_resources(budget, budget, std::nullopt).cpu);
  for (const char* bad : {"", "3-1", "a", "1,", "-1", "8192", "0;1"})
    EXPECT_THAT(faults_of({{"cpuset-cpus", bad}}), HasSubstr("--cpuset-cpus")) << bad;
}

TEST(BudgetTest, the_example_of_the_documentation_is_read) {
  Budget budget;
  EXPECT_EQ(faults_of({{"cpus", "2"},
                       {"cpu-weight", "200"},
                       {"memory", "2G"},
                       {"swap", "0"},
                       {"pids", "500"},
                       {"io-read", "50M"},
                       {"io-write", "50M"},
                       {"disk", "10G"},
                       {"bandwidth", "100M"},
                       {"max-guests", "20"},
                       {"max-vcpus", "4"}},
                      &budget),
            "");
  Budget wanted;
  wanted.cpu_milli = 2000;
  wanted.cpu_weight = 200;
  wanted.memory = 2ULL << 30U;
  wanted.swap = 0;
  wanted.pids = 500;
  wanted.io_read = wanted.io_write = 50ULL << 20U;
  wanted.disk = 10ULL << 30U;
  wanted.bandwidth = 100'000'000;
  wanted.max_guests = 20;
  wanted.max_vcpus = 4;
  EXPECT_EQ(budget, wanted);
}

TEST(BudgetTest, all_faults_are_said_at_once) {
  const std::string text = faults_of({{"cpus", "1.2345"}, {"memory", "2X"}, {"pids", "0"}});
  EXPECT_THAT(text, HasSubstr("3 faults"));
  EXPECT_THAT(text, HasSubstr("--cpus: '1.2345' is not a number of CPUs"));
  EXPECT_THAT(text, HasSubstr("--memory: '2X' is not a size"));
  EXPECT_THAT(text, HasSubstr("--pids: '0' is out of range: at least 1 and at most 4194304"));
}

TEST(BudgetTest, bad_units_are_refused) {
  for (const char* cpus : {"", "-1", "1.", ".5", "1e3", "0x2", "2 ", "0.001", "nan", "99999999"})
    EXPECT_NE(faults_of({{"cpus", cpus}}), "") << cpus;
  for (const char* memory : {"", "-1", "1K", "1 G", "2GG", "18446744073709551616", "9e18"})
    EXPECT_NE(faults_of({{"memory", memory}}), "") << memory;
  for (const char* rate : {"", "-1", "m", "1Mi", "18446744073709551615g", "7k"})
    EXPECT_NE(faults_of({{"bandwidth", rate}}), "") << rate;
}

TEST(BudgetTest, none_lifts_and_swap_needs_memory) {
  Budget budget;
  budget.memory = 1 << 30;
  budget.swap = 5;
  json::Faults faults("tenant 'a'");
  const std::vector<FlagText> lift{{"memory", "none"}, {"swap", "none"}};
  read_budget(lift, budget, faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(budget, Budget());
  EXPECT_THAT(faults_of({{"swap", "1G"}}), HasSubstr("--swap: needs a limit of --memory"));
}

TEST(BudgetTest, no_limits_ask_nothing_of_the_host) {
  const oci::Resources none = to_resources({}, {}, Disk{8, 0});
  EXPECT_FALSE(none.memory || none.cpu || none.pids_limit || none.block_io);
}

TEST(BudgetTest, limits_are_those_of_the_specification) {
  Budget budget;
  faults_of({{"cpus", "0.25"},
             {"cpu-weight", "200"},
             {"memory", "1G"},
             {"swap", "0"},
             {"pids", "7"},
             {"io-read", "1M"}},
            &budget);
  const oci::Resources limits = to_resources(budget, {}, Disk{8, 16});
  EXPECT_EQ(limits.cpu->quota, 25'000);
  EXPECT_EQ(limits.cpu->period, 100'000U);
  EXPECT_EQ(cgroups::weight_from_shares(*limits.cpu->shares), 200U);
  EXPECT_EQ(limits.memory->limit, 1 << 30);
  EXPECT_EQ(limits.memory->swap, 1 << 30);  // memory and swap together
  EXPECT_EQ(limits.pids_limit, 7);
  ASSERT_EQ(limits.block_io->throttle_read_bps.size(), 1U);
  EXPECT_EQ(limits.block_io->throttle_read_bps[0].minor, 16);
  EXPECT_TRUE(limits.block_io->throttle_write_bps.empty());
}

TEST(BudgetTest, what_is_no_longer_limited_is_lifted) {
  Budget before;
  faults_of({{"cpus", "1"}, {"memory", "1G"}, {"pids", "7"}, {"cpu-weight", "5"}}, &before);
  const oci::Resources limits = to_resources({}, before, std::nullopt);
  EXPECT_EQ(limits.cpu->quota, -1);
  EXPECT_EQ(cgroups::weight_from_shares(*limits.cpu->shares), 100U);
  EXPECT_EQ(limits.memory->limit, -1);
  EXPECT_EQ(limits.memory->swap, -1);
  EXPECT_EQ(limits.pids_limit, -1);
}

TEST(BudgetTest, every_weight_comes_out_of_its_shares_again) {
  for (std::uint64_t weight = 1; weight <= 10000; ++weight) {
    const std::uint64_t back = cgroups::weight_from_shares(cgroups::shares_from_weight(weight));
    // Shares are whole numbers: below 2.4 of them for each step of the weight.
    ASSERT_GE(back, weight);
    ASSERT_LE(back - weight, weight < 20 ? 2U : weight / 10) << weight;
  }
}

TEST(BudgetTest, words_are_for_people) {
  Budget budget;
  faults_of({{"cpus", "1.5"}, {"memory", "1536M"}, {"bandwidth", "2500k"}, {"io-read", "50M"}},
            &budget);
  std::string all;
  for (const BudgetLine& line : words_of(budget))
    all += line.name + "=" + line.value + ";";
  EXPECT_THAT(all, HasSubstr("cpus=1.5;cpu-weight=none;memory=1.5GiB;swap=none;"));
  EXPECT_THAT(all, HasSubstr("io-read=50MiB/s;"));
  EXPECT_THAT(all, HasSubstr("bandwidth=2.5Mbit/s;"));
}

}  // namespace
}  // namespace vrun::tenants
