#include "namespaces/plan.hpp"

#include <gtest/gtest.h>
#include <linux/sched.h>

namespace vrun::namespaces {
namespace {

using oci::NamespaceType;
constexpr std::uint64_t kNewTime = 0x80;

Host host_with(std::uint32_t uid) {
  Host host;
  host.euid = Uid(uid);
  return host;
}

oci::Linux with(std::vector<oci::Namespace> namespaces) {
  oci::Linux config;
  config.namespaces = std::move(namespaces);
  return config;
}

TEST(NamespacePlan, new_ones_come_with_the_clone) {
  const Result<Plan> plan = namespaces::plan(
      with({{NamespaceType::kPid, ""}, {NamespaceType::kMount, ""}, {NamespaceType::kUser, ""}}),
      host_with(0));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->clone_flags,
            static_cast<std::uint64_t>(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUSER));
  EXPECT_TRUE(plan->new_user);
  EXPECT_FALSE(plan->respawn);
  EXPECT_EQ(plan->later, 0U);
}

TEST(NamespacePlan, a_time_namespace_is_made_by_the_parent) {
  const Result<Plan> plan =
      namespaces::plan(with({{NamespaceType::kTime, ""}, {NamespaceType::kUts, ""}}), host_with(0));
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->makes(kNewTime));
  EXPECT_EQ(plan->clone_flags, static_cast<std::uint64_t>(CLONE_NEWUTS));
}

TEST(NamespacePlan, our_own_namespace_by_path_needs_no_join) {
  const Result<Plan> plan =
      namespaces::plan(with({{NamespaceType::kNetwork, "/proc/self/ns/net"}}), host_with(0));
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->parent_joins.empty());
  EXPECT_TRUE(plan->stage_joins.empty());
  EXPECT_EQ(plan->fresh, 0U);
}

TEST(NamespacePlan, a_namespace_of_another_type_is_refused_with_its_place) {
  const Result<Plan> plan = namespaces::plan(
      with({{NamespaceType::kUts, ""}, {NamespaceType::kNetwork, "/proc/self/ns/uts"}}),
      host_with(0));
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().where(), "linux.namespaces[1]");
  EXPECT_NE(plan.error().text().find("not a network namespace"), std::string::npos)
      << plan.error().text();
}

TEST(NamespacePlan, a_file_that_is_no_namespace_is_refused) {
  const Result<Plan> plan =
      namespaces::plan(with({{NamespaceType::kIpc, "/dev/null"}}), host_with(0));
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), Code::kInvalid);
}

TEST(NamespacePlan, a_missing_path_is_named) {
  const Result<Plan> plan =
      namespaces::plan(with({{NamespaceType::kIpc, "/nowhere/ns"}}), host_with(0));
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), Code::kNotFound);
  EXPECT_NE(plan.error().text().find("'/nowhere/ns'"), std::string::npos);
}

TEST(NamespacePlan, steps_ask_for_the_id_maps_before_becoming_root) {
  Result<Plan> plan = namespaces::plan(with({{NamespaceType::kUser, ""}}), host_with(0));
  ASSERT_TRUE(plan);
  Result<steps::Builder> builder = steps::Builder::create(1U << 16U);
  ASSERT_TRUE(builder);
  add_steps(*plan, *builder, 1);
  ASSERT_NE(builder->finish(), nullptr);
  EXPECT_EQ(builder->dump(),
            "ask the parent  (linux.uidMappings)\nbecome root of the user namespace  "
            "(linux.uidMappings)\n");
}

TEST(NamespacePlan, names_and_flags_agree_with_the_kernel) {
  EXPECT_EQ(flag_of(NamespaceType::kMount), static_cast<std::uint64_t>(CLONE_NEWNS));
  EXPECT_STREQ(proc_name_of(NamespaceType::kMount), "mnt");
  EXPECT_STREQ(config_name_of(NamespaceType::kNetwork), "network");
}

}  // namespace
}  // namespace vrun::namespaces
