#include "runtime/plan.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace vrun::runtime {
namespace {

TEST(DeviceRules, the_configs_rules_come_first_and_the_usual_devices_after) {
  oci::Spec spec;
  spec.linux.resources.emplace();
  spec.linux.resources->devices = {
      {.allow = false, .type = 'a', .major = {}, .minor = {}, .access = "rwm"}};
  const std::vector<oci::DeviceRule> rules = device_rules(spec);
  ASSERT_GT(rules.size(), 1U);
  EXPECT_FALSE(rules.front().allow);
  const auto allows = [&](std::int64_t major, std::int64_t minor) {
    return std::any_of(rules.begin(), rules.end(), [&](const oci::DeviceRule& r) {
      return r.allow && r.major == major && r.minor == minor;
    });
  };
  EXPECT_TRUE(allows(1, 3));   // null
  EXPECT_TRUE(allows(1, 9));   // urandom
  EXPECT_TRUE(allows(5, 2));   // ptmx
  EXPECT_FALSE(allows(1, 1));  // mem
  EXPECT_TRUE(allows(10, 200)) << "tun: runc took it away in 1.2.0 and gave it back in 1.2.4";
}

TEST(ReadInput, a_missing_bundle_is_said_with_a_hint) {
  CreateOptions options;
  options.id = "web";
  options.bundle = "/nowhere/bundle";
  const Result<Input> input = read_input(options);
  ASSERT_FALSE(input);
  EXPECT_NE(input.error().text().find("no such file or directory"), std::string::npos);
  EXPECT_NE(input.error().hint().find("config.json"), std::string::npos);
}

TEST(ReadInput, a_bad_id_is_refused_before_anything_is_opened) {
  CreateOptions options;
  options.id = "../web";
  options.bundle = "/nowhere/bundle";
  EXPECT_EQ(read_input(options).error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace vrun::runtime
