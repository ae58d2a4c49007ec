#include "engine/limits.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

using ::testing::HasSubstr;

Result<oci::Resources> limits(std::string memory, std::string cpus, std::string pids) {
  RunRequest request;
  request.memory = std::move(memory);
  request.cpus = std::move(cpus);
  request.pids_limit = std::move(pids);
  return to_resources(request);
}

TEST(Limits, none_asked_for_none_given) {
  const auto resources = limits("", "", "");
  ASSERT_TRUE(resources);
  EXPECT_FALSE(resources->memory);
  EXPECT_FALSE(resources->cpu);
  EXPECT_FALSE(resources->pids_limit);
}

TEST(Limits, memory_counts_swap_too) {
  const auto resources = limits("64m", "", "");
  ASSERT_TRUE(resources);
  EXPECT_EQ(resources->memory->limit, 64 << 20);
  EXPECT_EQ(resources->memory->swap, 64 << 20);
}

TEST(Limits, cpus_are_a_quota_of_100_ms) {
  EXPECT_EQ(limits("", "1.5", "")->cpu->quota, 150000);
  EXPECT_EQ(limits("", "0.01", "")->cpu->quota, 1000);
  EXPECT_EQ(limits("", "2", "")->cpu->period, 100000U);
}

TEST(Limits, pids) {
  EXPECT_EQ(limits("", "", "7")->pids_limit, 7);
}

TEST(Limits, nonsense_names_the_flag_and_has_a_hint) {
  const auto memory = limits("5q", "", "");
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().text(), "--memory '5q': not a size");
  EXPECT_THAT(memory.error().hint(), HasSubstr("512m"));
  for (const char* text : {"", "m", "-5m", "1mm", "0x10", "1e400", "99999999999999999t", "100"}) {
    if (*text != '\0') {
      EXPECT_FALSE(limits(text, "", "")) << text;
    }
  }
  for (const char* text : {"x", "-1", "0", "0.001", "nan", "inf", "1,5", "1.5 "}) {
    EXPECT_FALSE(limits("", text, "")) << text;
  }
  for (const char* text : {"0", "-1", "1.5", "x", "4194305"}) {
    EXPECT_FALSE(limits("", "", text)) << text;
  }
}

TEST(Limits, cpus_that_are_not_there_are_refused_with_those_that_are) {
  RunRequest request;
  EXPECT_TRUE(check_cpus(request, "0-1\n"));
  request.cpus = "2";
  request.cpuset_cpus = "0,1";
  EXPECT_TRUE(check_cpus(request, "0-1\n"));
  EXPECT_TRUE(check_cpus(request, "")) << "nobody can say";
  request.cpus = "2.01";
  const auto many = check_cpus(request, "0-1\n");
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().text(), "--cpus '2.01': more than there are");
  EXPECT_EQ(many.error().hint(), "this host has 2 CPUs (0-1)");
  request.cpus = "1";
  for (const char* text : {"2", "0-2", "9", "1-0", "0--1"}) {
    request.cpuset_cpus = text;
    EXPECT_FALSE(check_cpus(request, "0-1\n")) << text;
  }
}

}  // namespace
}  // namespace vrun::engine
