#include "process/capabilities.hpp"

#include <gtest/gtest.h>
#include <sys/capability.h>

#include "process/plan.hpp"
#include "tests/unit/process/fake_proc.hpp"

namespace vrun::process {
namespace {

constexpr std::uint64_t kChown = 1U << 0U;
constexpr std::uint64_t kKill = 1U << 5U;
constexpr std::uint64_t kResource = 1U << 24U;

oci::Process with(oci::Capabilities capabilities) {
  oci::Process process;
  process.capabilities = std::move(capabilities);
  return process;
}

TEST(Capabilities, names_are_those_of_libcap) {
  const std::vector<std::string> names = capability_names();
  for (cap_value_t n = 0; n < static_cast<cap_value_t>(names.size()); ++n) {
    char* name = cap_to_name(n);
    std::string upper = name;
    cap_free(name);
    for (char& c : upper)
      c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    EXPECT_EQ(names[static_cast<std::size_t>(n)], upper);
    EXPECT_EQ(capability_name(static_cast<std::uint32_t>(n)), upper);
  }
}

TEST(Capabilities, libcap_knows_no_more_than_the_table) {
  // for a number without a name libcap answers with its digits
  char* next = cap_to_name(static_cast<cap_value_t>(capability_names().size()));
  EXPECT_EQ(std::string(next).substr(0, 4) == "cap_", false) << next;
  cap_free(next);
}

TEST(Capabilities, an_absent_object_gives_nothing) {
  Faults faults;
  const auto args =
      check_capabilities(oci::Process{}, {~0ULL, 40}, "process", Warnings::kSaid, faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(args.bounding | args.effective | args.permitted | args.inheritable | args.ambient, 0U);
  EXPECT_EQ(args.last, 40U);
}

TEST(Capabilities, five_sets_become_bits) {
  Faults faults;
  const auto args = check_capabilities(with({.bounding = {"CAP_CHOWN", "CAP_KILL"},
                                             .effective = {"CAP_KILL"},
                                             .inheritable = {"CAP_CHOWN"},
                                             .permitted = {"CAP_CHOWN", "CAP_KILL"},
                                             .ambient = {"CAP_CHOWN"}}),
                                       {~0ULL, 40}, "process", Warnings::kSaid, faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(args.bounding, kChown | kKill);
  EXPECT_EQ(args.effective, kKill);
  EXPECT_EQ(args.permitted, kChown | kKill);
  EXPECT_EQ(args.inheritable, kChown);
  EXPECT_EQ(args.ambient, kChown);
}

TEST(Capabilities, unknown_names_are_faults_with_path_and_near_name) {
  Faults faults;
  (void)check_capabilities(with({.bounding = {"CAP_CHOWN", "CAP_KIL"}, .permitted = {"kill"}}),
                           {~0ULL, 40}, "process", Warnings::kSaid, faults);
  const Result<void> result = faults.result();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().text(),
            "process.capabilities.bounding[1]: 'CAP_KIL' is not a capability, did you mean "
            "'CAP_KILL'?\n"
            "process.capabilities.permitted[0]: 'kill' is not a capability");
}

TEST(Capabilities, what_the_caller_lacks_is_left_out) {
  Faults faults;
  const auto args = check_capabilities(with({.bounding = {"CAP_CHOWN", "CAP_SYS_RESOURCE"},
                                             .effective = {"CAP_SYS_RESOURCE"},
                                             .permitted = {"CAP_CHOWN", "CAP_SYS_RESOURCE"}}),
                                       {~kResource, 40}, "process", Warnings::kSaid, faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(args.bounding, kChown);
  EXPECT_EQ(args.effective, 0U);
  EXPECT_EQ(args.permitted, kChown);
}

TEST(Capabilities, effective_beyond_permitted_and_inheritable_beyond_bounding_are_faults) {
  Faults faults;
  (void)check_capabilities(with({.effective = {"CAP_KILL"}, .inheritable = {"CAP_CHOWN"}}),
                           {~0ULL, 40}, "process", Warnings::kSaid, faults);
  EXPECT_EQ(faults.result().error().text(),
            "process.capabilities.effective: CAP_KILL is not in permitted\n"
            "process.capabilities.inheritable: CAP_CHOWN is not in bounding");
}

TEST(Capabilities, ambient_keeps_what_is_permitted_and_inheritable) {
  Faults faults;
  const auto args = check_capabilities(with({.bounding = {"CAP_CHOWN", "CAP_KILL"},
                                             .inheritable = {"CAP_KILL"},
                                             .permitted = {"CAP_CHOWN", "CAP_KILL"},
                                             .ambient = {"CAP_CHOWN", "CAP_KILL"}}),
                                       {~0ULL, 40}, "process", Warnings::kSaid, faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(args.ambient, kKill);
}

TEST(Capabilities, grantable_is_what_the_caller_has) {
  const FakeProc proc;
  proc.set_caps("000001fffeffffff", "000001fffffffffe");
  const Result<Grantable> grantable = read_grantable(proc.host(), false);
  ASSERT_TRUE(grantable);
  EXPECT_EQ(grantable->caps, 0x1fffefffffeULL);
  EXPECT_EQ(grantable->last, 40U);
}

TEST(Capabilities, in_a_user_namespace_all_are_grantable) {
  const FakeProc proc;
  proc.set_caps("0000000000000000", "0000000000000000");
  const Result<Grantable> grantable = read_grantable(proc.host(), true);
  ASSERT_TRUE(grantable);
  EXPECT_EQ(grantable->caps, 0x1ffffffffffULL);
}

TEST(Capabilities, a_damaged_procfs_is_an_error) {
  const FakeProc proc;
  proc.write("/sys/kernel/cap_last_cap", "many\n");
  EXPECT_FALSE(read_grantable(proc.host(), false));
  proc.write("/sys/kernel/cap_last_cap", "40\n");
  proc.set_caps("zz", "0");
  EXPECT_FALSE(read_grantable(proc.host(), false));
}

}  // namespace
}  // namespace vrun::process
