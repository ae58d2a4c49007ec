// What the files of a guest's view say (engine/view/files.hpp), from facts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/view/files.hpp"

namespace vrun::view {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Facts some() {
  Facts facts;
  facts.memory_total = 256U << 20U;
  facts.memory_free = 200U << 20U;
  facts.memory.file = 20U << 20U;
  facts.memory.inactive_file = 20U << 20U;
  facts.swap_total = 64U << 20U;
  facts.swap_used = 1U << 20U;
  facts.cpus = {2, 3};
  facts.user_ns = 4000000000;
  facts.system_ns = 2000000000;
  facts.uptime = 10;
  facts.booted = 1700000000;
  return facts;
}

TEST(ViewFiles, MemoryIsTheLimitAndTheCacheIsAvailable) {
  const std::string text = render(File::kMeminfo, some(), "");
  EXPECT_THAT(text, HasSubstr("MemTotal:         262144 kB\n"));
  EXPECT_THAT(text, HasSubstr("MemFree:          204800 kB\n"));
  EXPECT_THAT(text, HasSubstr("MemAvailable:     225280 kB\n"));
  EXPECT_THAT(text, HasSubstr("SwapFree:          64512 kB\n"));
}

TEST(ViewFiles, MoreThanTheTotalIsNeverAvailable) {
  Facts facts = some();
  facts.memory.inactive_file = 1U << 30U;
  EXPECT_THAT(render(File::kMeminfo, facts, ""), HasSubstr("MemAvailable:     262144 kB\n"));
}

TEST(ViewFiles, ProcessorsKeepTheirNumbers) {
  const std::string host =
      "processor : 0\nx : a\n\nprocessor : 2\nx : b\n\nprocessor : 3\nx : c\n\n";
  EXPECT_EQ(render(File::kCpuinfo, some(), host), host.substr(host.find("processor : 2")));
  EXPECT_EQ(render(File::kOnline, some(), ""), "2-3\n");
  EXPECT_EQ(cpu_list({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
}

TEST(ViewFiles, DamagedCpuinfoDoesNoHarm) {
  EXPECT_EQ(render(File::kCpuinfo, some(), "processor"), "");
  EXPECT_EQ(render(File::kCpuinfo, some(), "processor : x\n\n\n\n"), "");
}

TEST(ViewFiles, TimesOfTheProcessorsAddUp) {
  const std::string text = render(File::kStat, some(), "");
  EXPECT_THAT(text, HasSubstr("cpu  400 0 200 1400 0"));
  EXPECT_THAT(text, HasSubstr("cpu2 200 0 100 700 0"));
  EXPECT_THAT(text, HasSubstr("btime 1700000000\n"));
  EXPECT_THAT(text, Not(HasSubstr("cpu0")));
  EXPECT_EQ(render(File::kUptime, some(), ""), "10.00 14.00\n");
}

TEST(ViewFiles, OnlyDevicesOfTheGuestAreShown) {
  Facts facts = some();
  facts.io_bytes = {{8, 0, "Read", 1024}, {8, 0, "Write", 2048}};
  facts.io_operations = {{8, 0, "Read", 3}, {8, 0, "Write", 4}};
  const std::string host = "   8       0 sda 9 9 9\n   8      16 sdb 9 9 9\n";
  EXPECT_EQ(render(File::kDiskstats, facts, host), "   8       0 sda 3 0 2 0 4 0 4 0 0 0 0\n");
}

TEST(ViewFacts, AQuotaIsRoundedUpToProcessors) {
  EXPECT_THAT(shown_cpus({0, 1, 2, 3}, 1500), ElementsAre(0, 1));
  EXPECT_THAT(shown_cpus({4, 5}, 100), ElementsAre(4));
  EXPECT_THAT(shown_cpus({4, 5}, std::nullopt), ElementsAre(4, 5));
  EXPECT_THAT(shown_cpus({}, 8000), ElementsAre(0));
}

}  // namespace
}  // namespace vrun::view
